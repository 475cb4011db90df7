import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { contents, expectExit, Registry } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'
import { type Fault, type FaultRun, runWithFault } from './shim.ts'

const HULL = 'fe/rr/ferry-hull'

/** A mirror at snapshot 1 whose upstream is at 2: one published, one yanked, one removed. */
export interface Prepared {
  readonly before: string
  /** What `public/` holds after a sync that nothing disturbs. */
  readonly want: Record<string, string>
}

export async function prepared(work: (at: Prepared) => Promise<void>): Promise<void> {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const before = await registry.mirror('before', upstream.url)
  await expectExit(0, 'sync', '--mirror', before)
  await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.edit('fe/rr/ferry_deck', ([first = '', ...rest]) => [
    first.replace('"yanked":false', '"yanked":true'),
    ...rest,
  ])
  rmSync(registry.at('plain/index/1/f'))
  await registry.sign()
  const after = registry.at('after')
  cpSync(before, after, { recursive: true })
  await expectExit(0, 'sync', '--mirror', after)
  await work({ before, want: await contents(join(after, 'public')) })
}

/** A kill needs no disk, and a disk that others write to makes every flush wait for them. */
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** Runs a command, `sync` unless told, on a copy of `before` under the shim, and looks at what it left. */
export async function faulted(
  before: string,
  fault: Fault | 'count',
  look: (mirror: string, run: FaultRun) => Promise<void> | void,
  program = 'bin/crateferry.js',
  command: readonly string[] = ['sync'],
): Promise<FaultRun> {
  await using scratch = await mkdtempDisposable(join(SCRATCH, 'crateferry-crash-'))
  const mirror = join(scratch.path, 'mirror')
  cpSync(before, mirror, { recursive: true })
  const run = await runWithFault(process.execPath, [program, ...command, '--mirror', mirror], {
    prefix: mirror,
    fault,
    env: { ...process.env, NODE_OPTIONS: '' },
    signal: AbortSignal.timeout(60_000),
  })
  await look(mirror, run)
  return run
}

/** The rerun needs no hand, leaves what a run that was never killed leaves, and nothing besides. */
export async function expectHealed(
  mirror: string,
  want: Record<string, string>,
  at: string,
  command: readonly string[] = ['sync'],
): Promise<void> {
  await expectExit(0, ...command, '--mirror', mirror)
  expect(await contents(join(mirror, 'public')), at).toEqual(want)
  expect(readdirSync(join(mirror, 'state/partials')), at).toEqual([])
  expect(readdirSync(join(mirror, 'state/owners')), at).toEqual([])
  const state = readdirSync(join(mirror, 'state'))
  expect(state, at).not.toContain('next')
  expect(state, at).not.toContain('landing')
}

const AT_ONCE = 2

/** Tries calls 1, 1 + stride, …, up to n, a few at once. */
export async function everyCall(
  n: number,
  stride: number,
  work: (call: number) => Promise<void>,
): Promise<void> {
  const steps = Array.from({ length: Math.ceil(n / stride) }, (_, i) => i * stride + 1).values()
  const worker = async (): Promise<void> => {
    for (const call of steps) await work(call)
  }
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker))
  for (const one of ended) if (one.status === 'rejected') throw one.reason
}
