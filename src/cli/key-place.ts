import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import { MARKER, PUBLIC } from '../store/layout.ts'

/**
 * What a web server may show must never hold a key: refuses a place below the `public/` of this
 * mirror, or of any mirror above it, whatever links lead there.
 */
export function refuseKeysInPublic(place: string, mirror?: string): void {
  const shown = mirror === undefined ? [] : [join(mirror, PUBLIC)]
  for (const path of [resolve(place), real(place)]) {
    const all = [...shown, ...shown.map(real), ...shownAbove(path)]
    if (!all.some(folder => isBelow(folder, path))) continue
    throw new MirrorError('usage', `${place} is below ${PUBLIC}/ of a mirror, where all can read`)
  }
}

function shownAbove(path: string): string[] {
  const parent = dirname(path)
  const isShown = basename(path) === PUBLIC && existsSync(join(parent, MARKER))
  return [...(isShown ? [path] : []), ...(parent === path ? [] : shownAbove(parent))]
}

function isBelow(folder: string, path: string): boolean {
  const first = relative(folder, path).split('/')[0]
  return first !== '..'
}

/** Links resolved as far as there is something. */
function real(path: string): string {
  if (existsSync(path)) return realpathSync(path)
  const parent = dirname(resolve(path))
  return parent === resolve(path) ? parent : join(real(parent), basename(path))
}
