import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { findBags } from '../bundle/bags.ts'
import { type Bundle, readBundle } from '../bundle/bundle-json.ts'
import { Carrying } from '../bundle/carrying.ts'
import { verifyBags } from '../bundle/verify-bags.ts'
import { MirrorError } from '../error.ts'
import { type Freshness, staleness } from '../trust/freshness.ts'
import { instantOf } from '../trust/instant.ts'
import { bytesText, durationText } from '../units.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { carryingLine, ProgressLine } from './progress.ts'
import { EXIT } from './report.ts'

export interface BundleVerifyOptions {
  readonly root?: string
  readonly whole?: boolean
  readonly maxStaleness?: number
}

const FOREVER_SECONDS = 366 * 100 * 86_400

/** `crateferry bundle verify DIR…`: every byte on the media, with only a root. */
export async function bundleVerifyCommand(
  context: Context,
  folders: readonly string[],
  options: BundleVerifyOptions,
): Promise<number> {
  const bags = findBags(folders.map(folder => resolve(context.cwd, folder)))
  const carrying = new Carrying()
  using _line = new ProgressLine(carryingLine(carrying), context.out)
  const { root, whole = false, maxStaleness } = options
  if (root === undefined && maxStaleness !== undefined) {
    throw new MirrorError(
      'usage',
      '--max-staleness needs --root FILE: without it no date is believed',
    )
  }
  const verified = await verifyBags(bags, {
    root: root === undefined ? undefined : readGiven(context, root, 'the root'),
    freshness: freshnessOf(maxStaleness),
    carrying,
    signal: context.signal,
    now: context.now(),
  })
  const { damage, notSeen, members, unjudged, vouched } = verified
  const missing = notSeen.map(({ file, medium }) => `${file} (medium ${medium})`)
  const exit = damage.length > 0 ? EXIT.damaged : whole && missing.length > 0 ? EXIT.incomplete : 0
  const unlisted = bags.flatMap(bag =>
    bag.unlisted.count === 0 ? [] : [{ folder: bag.folder, ...bag.unlisted }],
  )
  const start = instantOf(context.now())
  const ages = Object.entries(vouched?.expires ?? {}).map(([role, end]) => {
    const late = staleness(end, start)
    return `${role} until ${end}${late > 0 ? `, ${durationText(late)} ago` : ''}`
  })
  context.out.result(
    { ok: exit === 0, exit, damage, notSeen: missing, members, unjudged, unlisted, vouched },
    [
      ...damage.map(what => `damaged: ${what}`),
      ...unlisted.map(
        one => `${one.folder}: ${one.count} files that nothing lists: ${one.first.join(', ')}`,
      ),
      ...(missing.length > 0 ? [`not seen: ${missing.join(', ')}`] : []),
      `${bags.length} bags, ${members} members ${damage.length > 0 ? 'read' : 'right'}${unjudged > 0 ? `, ${unjudged} of them for a mirror to judge` : ''}`,
      vouched === undefined
        ? 'integrity and form only: who made it, --root FILE would tell'
        : `signed: targets ${vouched.versions.targets}, tree ${vouched.tree}; ${ages.join('; ')}`,
    ],
  )
  return exit
}

/** Without a bound dates are shown and not judged. */
function freshnessOf(maxStaleness = FOREVER_SECONDS): Freshness {
  const roles = { timestamp: maxStaleness, snapshot: maxStaleness, targets: maxStaleness }
  return { staleSeconds: { root: maxStaleness, ...roles }, freshUntil: undefined, isCarried: true }
}

/** `crateferry bundle info DIR|FILE`: what a bundle says of itself. */
export async function bundleInfoCommand(context: Context, place: string): Promise<number> {
  const path = resolve(context.cwd, place)
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) throw new MirrorError('no-mirror', `${path} is not there`)
  const bundles = stats.isDirectory()
    ? new Map(findBags([path]).map(({ bundle }) => [bundle.bundleId, bundle])).values().toArray()
    : [readBundle(readFileSync(path), path)]
  context.out.result({ verified: false, bundles }, bundles.flatMap(infoLines))
  return 0
}

function infoLines({ bundleId, plan, media, tool, createdAt }: Bundle): string[] {
  const { target, base, volumes, absent, prerequisites } = plan
  const bytes = volumes.reduce((sum, volume) => sum + volume.bytes, 0)
  return [
    `bundle ${bundleId} (not verified), made by ${tool} at ${createdAt}`,
    `leads to targets ${target.targets}, timestamp ${target.timestamp}, root ${target.root}: ${target.entries} crates, tree ${target.tree}`,
    base === null ? 'full: from nothing' : `from targets ${base.targets}, tree ${base.tree}`,
    `${volumes.length} volumes, ${bytesText(bytes)}, on ${media.at(-1) ?? 1} media; ${prerequisites.count} artifacts are to be there already, ${absent.length} are absent`,
    ...volumes.map(
      ({ file, bytes, members, first, last }, n) =>
        `  medium ${media[n]}  ${file}  ${bytesText(bytes)}, ${members} members from ${first} to ${last}`,
    ),
  ]
}
