import { statfsSync } from 'node:fs'
import { MirrorError } from '../error.ts'
import type { Snapshot } from '../store/snapshot.ts'
import type { Run } from './run.ts'

/** More may not go in one pass than an operator would expect: a fault upstream, or an attack. */
export function guardRemovals(
  run: Run,
  published: Snapshot | undefined,
  gone: {
    readonly crates: number
    readonly versions: number
    readonly paths?: readonly string[]
  },
  command = 'sync',
): void {
  const { removalPercent, removalCrates, removalVersions } = run.settings.guard
  const of = published?.entries ?? 0
  const isMany = gone.crates > removalCrates && gone.crates * 100 > removalPercent * of
  const crates = isMany ? gone.crates : 0
  const versions = gone.versions > removalVersions ? gone.versions : 0
  const count = Math.max(crates, versions)
  if (count <= run.accepted.removals) return
  throw new MirrorError(
    'guard',
    `this pass would remove ${gone.crates} of ${of} crates and ${gone.versions} versions${some(gone.paths)}; nothing was changed. If that is right, run ${command} --accept-removals ${count} --reason TEXT`,
  )
}

const SHOWN_MAX = 10

function some(paths: readonly string[] = []): string {
  if (paths.length === 0) return ''
  const more = paths.length > SHOWN_MAX ? ', …' : ''
  return ` (${paths.slice(0, SHOWN_MAX).join(', ')}${more})`
}

/** An origin that misses this much at once is broken, or somebody stands in between. */
export function guardMissing(
  run: Run,
  missing: { readonly artifacts: number; readonly of: number },
): void {
  const { artifacts, of } = missing
  if (artifacts <= 20 || artifacts * 100 <= of || artifacts <= run.accepted.absent) return
  throw new MirrorError(
    'guard',
    `${artifacts} of ${of} wanted artifacts are not there; none is believed absent and nothing was published. If that is right, run sync --accept-absent ${artifacts} --reason TEXT`,
  )
}

/** Free space is watched while running, since index lines carry no sizes. */
export function guardSpace(run: Run): void {
  const { root } = run.writer.mirror
  const { bavail, bsize, files, ffree } = statfsSync(root)
  const free = bavail * bsize
  if (free < run.settings.reserveBytes) {
    throw new MirrorError(
      'no-space',
      `${root} has ${free} bytes free, the reserve is ${run.settings.reserveBytes}; what came so far is kept`,
    )
  }
  // a file system that counts no inodes says 0
  if (files > 0 && ffree < 1000) {
    throw new MirrorError('no-space', `${root} has ${ffree} inodes left; what came so far is kept`)
  }
}
