import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { makeLoad } from '../bench/load.ts'
import { contents, expectExit } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

const ARTIFACTS = 250
const KILLS = 10
/** Slow enough that ten kills fall into the transfer. */
const BYTES_PER_SECOND = 1_200_000

/** Starts a sync and ends it with SIGKILL at a moment of chance. */
async function killedSync(mirror: string): Promise<void> {
  const child = spawn(process.execPath, ['bin/crateferry.js', 'sync', '--mirror', mirror], {
    stdio: 'ignore',
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  const ended = once(child, 'exit')
  await Promise.race([sleep(randomInt(700, 2500)), ended])
  child.kill('SIGKILL')
  await ended
}

function artifactsOf(mirror: string): Set<string> {
  const files = readdirSync(join(mirror, 'public/crates'), { recursive: true, encoding: 'utf8' })
  return new Set(files.filter(name => name.endsWith('.crate')).map(name => name.slice(-70, -6)))
}

/** Artifacts that are whole here, named or in their partial: nobody need send them again. */
function wholeHere(mirror: string, all: ReadonlySet<string>): Set<string> {
  const partials = join(mirror, 'state/partials')
  const whole = readdirSync(partials)
    .filter(name => sha256(readFileSync(join(partials, name))) === name.slice(0, 64))
    .map(name => name.slice(0, 64))
  return artifactsOf(mirror).union(new Set(whole)).intersection(all)
}

test('killed ten times in its transfer, a sync fetches nothing again that was whole (P5, P7)', {
  timeout: 180_000,
}, async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'crateferry-kill-'))
  const at = (name: string): string => join(scratch.path, name)
  makeLoad(at('plain'), { artifacts: ARTIFACTS, seed: 7 })
  await expectExit(0, 'upstream', at('repository'), '--from', at('plain'))
  const shown = at('repository/public')
  await using upstream = await serveFolder(shown)
  const init = ['--upstream', upstream.url, '--root', join(shown, 'tuf/1.root.json')]
  await expectExit(0, 'init', at('mirror'), ...init)
  await expectExit(0, 'init', at('undisturbed'), ...init)
  await expectExit(0, 'sync', '--mirror', at('undisturbed'))

  const all = artifactsOf(at('undisturbed'))
  expect(all.size).toBe(ARTIFACTS)

  upstream.throttle(BYTES_PER_SECOND)
  const counts: number[] = []
  for (let kill = 0; kill < KILLS; kill += 1) {
    const before = wholeHere(at('mirror'), all)
    upstream.requests.clear()
    await killedSync(at('mirror'))
    const asked = upstream.requests.flatMap(
      ({ path }) => /([0-9a-f]{64})\.crate$/.exec(path)?.[1] ?? [],
    )
    expect(asked.filter(checksum => before.has(checksum))).toEqual([])
    counts.push(wholeHere(at('mirror'), all).size)
  }
  expect(counts.at(-1), counts.join(' ')).toBeGreaterThan(0)
  expect(counts[0], `killed within the transfer: ${counts.join(' ')}`).toBeLessThan(ARTIFACTS)

  upstream.throttle(undefined)
  const before = wholeHere(at('mirror'), all)
  const begun = begunIn(at('mirror'), before, all)
  upstream.requests.clear()
  await expectExit(0, 'sync', '--mirror', at('mirror'))
  expect(upstream.requests.count(/\.crate$/)).toBe(ARTIFACTS - before.size)
  // what had begun was continued
  expect(upstream.requests.filter(({ range }) => range !== undefined).length).toBe(begun)
  expect(await contents(at('mirror/public'))).toEqual(await contents(at('undisturbed/public')))
  expect(readdirSync(at('mirror/state/partials'))).toEqual([])
  expect(existsSync(at('mirror/state/landing'))).toBe(false)
  await expectExit(0, 'verify', '--mirror', at('mirror'))
})

/** How many transfers were cut, and left something. */
function begunIn(mirror: string, whole: ReadonlySet<string>, all: ReadonlySet<string>): number {
  const partials = join(mirror, 'state/partials')
  const begun = readdirSync(partials).filter(name => statSync(join(partials, name)).size > 0)
  return begun.map(name => name.slice(0, 64)).filter(one => all.has(one) && !whole.has(one)).length
}
