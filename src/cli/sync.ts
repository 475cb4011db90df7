import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import { type DryRun, dryRun, dryRunObserved } from '../sync/dry-run.ts'
import { syncObserved, UNSIGNED } from '../sync/observe.ts'
import type { Accepted, Run } from '../sync/run.ts'
import { type SyncReport, sync } from '../sync/sync.ts'
import { bytesText } from '../units.ts'
import type { Traffic } from '../upstream/traffic.ts'
import { limitFor } from './byte-limits.ts'
import { type Context, openConfigured } from './context.ts'
import { withObserver } from './observing.ts'
import { EXIT, OBSERVED } from './report.ts'
import { requireSigning, type SiteOutcome, signAfterSync } from './sign-after-sync.ts'
import { asWriter, type Outcome, syncSettings, trafficFor, withUpstream } from './writing.ts'

export interface SyncOptions {
  readonly dryRun?: boolean
  readonly sweep?: boolean
  readonly limitBytes?: number
  readonly acceptRemovals?: number
  readonly acceptAbsent?: number
  readonly acceptChanged?: readonly string[]
  readonly acceptClock?: boolean
  readonly reason?: string
}

/** `crateferry sync`: one pass. */
export async function syncCommand(context: Context, options: SyncOptions): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  if (config.select.pruneIndex) requireSigning(mirror.root, config)
  const limitBytes = limitFor(context, { mirror, config, given: options.limitBytes })
  const traffic = trafficFor(context, config)
  const outcome = await asWriter(
    context,
    {
      command: options.dryRun ? 'sync --dry-run' : 'sync',
      mirror,
      settings: syncSettings(config, mirror),
      accepted: acceptedBy(options),
      traffic,
      ...(limitBytes !== undefined && { limitBytes }),
    },
    run =>
      config.upstream.trust === 'observed'
        ? observed(context, config, run, { ...options, traffic })
        : withUpstream(config, mirror, traffic, async upstream => {
            if (options.dryRun) return toldDryRun(context, await dryRun(run, upstream))
            const report = await sync(run, upstream)
            return told(context, report, await signAfterSync(context, config, run))
          }),
  )
  return outcome.exit
}

async function observed(
  context: Context,
  config: Config,
  run: Run,
  {
    dryRun = false,
    sweep: isSweepAsked = false,
    traffic,
  }: SyncOptions & { readonly traffic: Traffic },
): Promise<Outcome> {
  return await withObserver(config, run, { isSweepAsked, traffic }, async observer => {
    if (dryRun) return toldDryRun(context, await dryRunObserved(run, observer))
    const report = await syncObserved(run, observer, UNSIGNED)
    return told(context, report, await signAfterSync(context, config, run))
  })
}

/** Every override is dated and reasoned: the run record keeps it. */
function acceptedBy(options: SyncOptions): Accepted {
  const { acceptRemovals, acceptAbsent, acceptChanged = [], acceptClock = false, reason } = options
  const accepted = {
    removals: acceptRemovals ?? 0,
    absent: acceptAbsent ?? 0,
    changed: new Set(acceptChanged.map(name => name.toLowerCase())),
    clock: acceptClock,
    reason,
  }
  const isAny =
    accepted.removals > 0 || accepted.absent > 0 || accepted.changed.size > 0 || accepted.clock
  if (isAny && reason === undefined) {
    throw new MirrorError('usage', 'an --accept option needs --reason TEXT, which is recorded')
  }
  return accepted
}

function toldDryRun({ out }: Context, plan: DryRun): Outcome {
  const { crates, artifacts, estimatedBytes, removedCrates, removedVersions } = plan
  out.result({ ok: true, dryRun: plan }, [
    `would bring ${crates} crates up to date and fetch ${artifacts} artifacts, about ${bytesText(estimatedBytes)}`,
    ...(removedVersions > 0
      ? [`would no longer name ${removedVersions} versions, ${removedCrates} crates among them`]
      : []),
  ])
  return { exit: 0, facts: { ...plan } }
}

/** What a run came to, told to people, machines and the run record alike. */
export function told({ out }: Context, report: SyncReport, site?: SiteOutcome): Outcome {
  const { snapshot, outcome, crates, artifacts, bytes, removed, rollbacks, warnings } = report
  const { yanked, unyanked, withdrawn } = report
  const held = Object.entries(snapshot.held)
  const exit = exitOf(report, site)
  for (const warning of warnings) out.say(`warning: ${warning}`)
  for (const [path, { reason }] of held) out.say(`held: ${path}: ${reason}`)
  if (site?.outcome === 'failed') out.say(`not signed: ${site.reason}`)
  else for (const warning of site?.warnings ?? []) out.say(`warning: ${warning}`)
  const facts = {
    outcome,
    snapshot: snapshot.n,
    trust: snapshot.metadata === null ? 'observed' : 'tuf',
    tree: snapshot.tree,
    crates,
    artifacts,
    bytes,
    held: held.length,
    absent: Object.keys(snapshot.absent).length,
    removed,
    yanked,
    unyanked,
    withdrawn,
    rollbacks,
    ...(site && { site }),
  }
  out.result({ ok: exit === 0, exit, ...facts, heldCrates: snapshot.held, warnings }, [
    ...lines(report),
    ...siteLines(site),
  ])
  return { exit, facts }
}

/** The worst that people must look at comes first. */
export function exitOf({ rollbacks, snapshot }: SyncReport, site?: SiteOutcome): number {
  if (rollbacks.length > 0) return EXIT.guard
  if (Object.keys(snapshot.held).length > 0) return EXIT.incomplete
  return site?.outcome === 'failed' ? site.exit : 0
}

function siteLines(site: SiteOutcome): string[] {
  if (site?.outcome !== 'signed') return []
  const { targets, snapshot, timestamp } = site.versions
  return [`signed: targets ${targets}, snapshot ${snapshot}, timestamp ${timestamp}`]
}

function lines(report: SyncReport): string[] {
  const { outcome, snapshot, crates, artifacts, bytes, removed, yanked, unyanked, withdrawn } =
    report
  const held = Object.keys(snapshot.held).length
  const trust = snapshot.metadata === null ? `, ${OBSERVED}` : ''
  const state = `snapshot ${snapshot.n}, ${snapshot.entries} crates${trust}`
  const taken = withdrawn.map(what => `withdrawn: ${what}`)
  if (outcome === 'unchanged') return [`nothing changed: ${state}`, ...taken]
  const came = `${crates} crates looked at, ${artifacts} artifacts landed (${bytesText(bytes)})`
  return [
    `published ${state}: ${came}${held > 0 ? `, ${held} held` : ''}`,
    ...removed.map(({ path, versions, all, reason }) =>
      all
        ? `removed: ${path} (${versions.join(', ')}): ${reason}`
        : `removed from ${path}: ${versions.join(', ')}: ${reason}`,
    ),
    ...(yanked.length > 0 ? [`yanked: ${someOf(yanked)}`] : []),
    ...(unyanked.length > 0 ? [`no longer yanked: ${someOf(unyanked)}`] : []),
    ...taken,
  ]
}

/** A day of a whole registry has hundreds of them: the run record keeps all. */
function someOf(versions: readonly string[]): string {
  const more = versions.length - YANKS_TOLD
  return `${versions.slice(0, YANKS_TOLD).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

const YANKS_TOLD = 10
