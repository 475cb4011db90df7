import { MirrorError } from '../error.ts'
import { parseCrateName } from '../registry/crate-name.ts'
import { indexPath } from '../registry/sparse-path.ts'
import { parseVersion } from '../registry/version.ts'
import { readWithdrawn } from '../store/quarantine.ts'
import { readPublished } from '../store/snapshot.ts'
import type { ChainWalk } from '../sync/chain-walk.ts'
import { Progress } from '../sync/run.ts'
import { type Target, verify } from '../sync/verify.ts'
import { type Fault, type Finding, isFault } from '../sync/verify-finding.ts'
import { type Context, openConfigured } from './context.ts'
import { mendFindings } from './mending.ts'
import { writeOnce } from './once.ts'
import { ProgressLine, runLine } from './progress.ts'
import { proofBytes } from './proof-file.ts'
import { EXIT } from './report.ts'
import { walkFacts, walkInWords } from './told-walk.ts'
import { verifyWithProof, walkOf } from './verify-walk.ts'

export interface VerifyOptions {
  readonly index?: boolean
  readonly repair?: boolean
  readonly proof?: string
  readonly withProof?: string
  readonly root?: string
}

/** `crateferry verify [CRATE[@VERSION]…] [--index] [--repair]`: reads back, names every fault. */
export async function verifyCommand(
  context: Context,
  crates: readonly string[],
  options: VerifyOptions,
): Promise<number> {
  const { proof, withProof } = options
  requireTogether(options)
  if (withProof !== undefined) {
    return await verifyWithProof(context, crates, { ...options, withProof })
  }
  const target = targetOf(crates, options)
  if (proof !== undefined) requireOneVersion(target)
  const { mirror, config } = await openConfigured(context)
  const progress = new Progress()
  const look = {
    target,
    url: config.serve.url,
    progress,
    now: context.now(),
    signal: context.signal,
  }
  const findings: Finding[] = []
  {
    using _line = new ProgressLine(runLine(progress), context.out)
    for await (const finding of verify(mirror.root, look)) {
      findings.push(finding)
      tell(context, finding)
    }
  }
  const faults = findings.filter(isFault)
  if (faults.length === 0 || !options.repair) {
    const walks = faults.length === 0 ? await walksOf(context, mirror.root, target) : []
    if (proof !== undefined && faults.length === 0) await writeProof(context, proof, walks)
    return concluded(context, { faults, mended: 0, left: faults, walks })
  }
  const given = { command: 'verify --repair', mirror, config, findings, again: target }
  const { mended, left } = await mendFindings(context, { ...given, faults: faults.length })
  return concluded(context, { faults, mended, left, walks: [] })
}

/** What would say nothing beside another option is a mistake. */
function requireTogether({ index, repair, proof, withProof, root }: VerifyOptions): void {
  if (root !== undefined && withProof === undefined) {
    throw new MirrorError('usage', '--root belongs to --with-proof: a mirror has its own')
  }
  if (withProof !== undefined && (index || repair || proof !== undefined)) {
    throw new MirrorError('usage', '--with-proof compares one file, and takes --root alone')
  }
  if (repair && proof !== undefined) {
    throw new MirrorError('usage', 'either --repair, or --proof of what is right')
  }
}

function requireOneVersion(target: Target): void {
  const [one, ...others] = target.kind === 'crates' ? target.crates : []
  if (one?.version !== undefined && others.length === 0) return
  throw new MirrorError('usage', '--proof is of one CRATE@VERSION')
}

function targetOf(crates: readonly string[], { index }: VerifyOptions): Target {
  if (crates.length === 0) return { kind: index ? 'index' : 'all' }
  if (index) throw new MirrorError('usage', 'either name crates or give --index')
  return {
    kind: 'crates',
    crates: crates.map(text => {
      const [before = '', after] = text.split('@')
      const [name, version] = [parseCrateName(before), parseVersion(after)]
      if (name === undefined || (after !== undefined && version === undefined)) {
        throw new MirrorError('usage', `${JSON.stringify(text)} is not CRATE or CRATE@VERSION`)
      }
      return { name, ...(version !== undefined && { version }) }
    }),
  }
}

/**
 * What only is observed, or was withdrawn, has no way to show, and that of a held crate ends where its new
 * file is missing.
 */
async function walksOf(
  { out }: Context,
  root: string,
  target: Target,
): Promise<readonly ChainWalk[]> {
  if (target.kind !== 'crates') return []
  const held = readPublished(root)?.held ?? {}
  const withdrawn = [...readWithdrawn(root).values()]
  const walks: ChainWalk[] = []
  for (const { name, version } of target.crates) {
    const isSame = (crate: string): boolean => crate.toLowerCase() === name.toLowerCase()
    const isWithdrawn = withdrawn.some(one => isSame(one.crate) && one.version === version)
    if (version === undefined || isWithdrawn) continue
    if (held[indexPath(name)] !== undefined) {
      out.say(`warning: ${name} is held: what is here is older than what is signed`)
      continue
    }
    const walk = await walkOf(root, { crate: name, version })
    if (walk !== undefined) walks.push(walk)
  }
  return walks
}

async function writeProof(
  context: Context,
  out: string,
  walks: readonly ChainWalk[],
): Promise<void> {
  const [walk] = walks
  if (walk === undefined) {
    throw new MirrorError(
      'incomplete',
      'no proof: it is held or withdrawn, or no tree is signed here',
    )
  }
  await writeOnce(context, out, proofBytes(walk.files))
  context.out.say(`the proof is in ${out}`)
}

function tell({ out }: Context, finding: Finding): void {
  if (!isFault(finding)) {
    out.say(`warning: ${finding.what}`)
    return
  }
  const { kind, what } = finding
  if (!out.isJson) out.item({}, `${kind}: ${what}`)
}

interface Conclusion {
  readonly faults: readonly Fault[]
  readonly mended: number
  readonly left: readonly Fault[]
  /** Of each version that was asked for, where all is right. */
  readonly walks: readonly ChainWalk[]
}

function concluded({ out }: Context, { faults, mended, left, walks }: Conclusion): number {
  const exit = left.length > 0 ? EXIT.damaged : 0
  const line =
    faults.length === 0
      ? 'no fault found'
      : mended === 0
        ? `${faults.length} faults; verify --repair mends what can be`
        : `${faults.length} faults, ${mended} mended, ${left.length} left`
  const told = {
    ok: exit === 0,
    exit,
    faults: faults.map(shown),
    mended,
    left: left.map(shown),
    ...(walks.length > 0 && { walks: walks.map(walkFacts) }),
  }
  out.result(told, [...walks.flatMap(walkInWords), line])
  return exit
}

/** A fault as machines are told of it: what should be there is for the repair alone. */
function shown({ named: _, ...fault }: Fault): Omit<Fault, 'named'> {
  return fault
}
