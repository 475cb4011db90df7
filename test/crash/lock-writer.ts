import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MirrorError } from '../../src/error.ts'
import { acquireLock, type Owner } from '../../src/store/lock.ts'
import { type Mirror, openMirror } from '../../src/store/mirror.ts'
import { Writer } from '../../src/store/writer.ts'

/**
 * One of the writers of the lock bench, a process of its own: takes the lock, reads which number is
 * published, publishes the next one and notes it, for ever. A number that two of them note was
 * published twice. The canary looks whether it still is the owner and then renames from a folder
 * that all share: what a lock without a fence can do at best.
 */
const [root = '', notes = '', kind = ''] = process.argv.slice(2)
const PUBLISHED = 'state/published'
const signal = AbortSignal.timeout(120_000)

async function publish(mirror: Mirror, owner: Owner): Promise<void> {
  const n = String(Number(readFileSync(join(root, PUBLISHED), 'utf8')) + 1)
  await sleep(Math.random() * 4)
  if (kind === 'fenced') await new Writer(mirror, owner).replace(PUBLISHED, Buffer.from(n))
  else await lookThenRename(owner, n)
  appendFileSync(notes, `${n}\n`)
}

async function lookThenRename(owner: Owner, n: string): Promise<void> {
  const shared = join(root, `shared-${owner.token}`)
  writeFileSync(shared, n)
  if (!existsSync(owner.folder)) return
  await sleep(Math.random() * 4)
  renameSync(shared, join(root, PUBLISHED))
}

const mirror = await openMirror(root)
while (!signal.aborted) {
  try {
    await using lock = await acquireLock(mirror, {
      command: kind,
      signal,
      now: new Date(),
      unknownMs: 100,
    })
    await publish(mirror, lock.owner)
  } catch (error) {
    // busy, or the lock was lost: both are part of the game
    if (!(error instanceof MirrorError) || error.code !== 'busy') throw error
  }
  await sleep(Math.random() * 4)
}
