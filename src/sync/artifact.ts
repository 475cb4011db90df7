import { noteEvidence } from '../store/evidence.ts'
import { evidenceFile, partialFile } from '../store/layout.ts'
import { ChecksumMismatch, Partial } from '../store/partial.ts'
import { NotThere } from '../upstream/faults.ts'
import type { Wanted } from '../upstream/upstream.ts'
import { isVerdict } from './faults.ts'
import { type Run, type Source, stamp } from './run.ts'

/** How one artifact ended: whole in its partial and ready to land, or why not. */
export type Outcome =
  | { readonly kind: 'whole'; readonly bytes: number }
  | { readonly kind: 'missing'; readonly status: number; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string }

/**
 * The story of one artifact, up to its landing. What an earlier run left is hashed from byte 0 and
 * continued; the whole is hashed from byte 0 again before it counts (P7). A killed run leaves the
 * partial, which is bytes only and believed by nobody; `isBegun` says that there may be one. Of bytes that are wrong to the last try one
 * copy is kept as evidence.
 */
export async function obtainArtifact(
  run: Run,
  source: Source,
  wanted: Wanted,
  { isBegun, signal }: { readonly isBegun: boolean; readonly signal: AbortSignal },
): Promise<Outcome> {
  const path = run.writer.at(partialFile(wanted.checksum))
  const partial = isBegun ? await Partial.open(path) : Partial.empty(path)
  if (partial.isWhole(wanted.checksum)) return { kind: 'whole', bytes: partial.length }
  for (let attempt = 1; ; attempt += 1) {
    const isLast = attempt >= run.settings.tries
    try {
      await transfer(run, source, wanted, partial, signal)
      await finish(run, wanted, partial, { isLast })
      return { kind: 'whole', bytes: partial.length }
    } catch (error) {
      if (!isVerdict(error, signal)) throw error
      if (error instanceof NotThere) {
        return { kind: 'missing', status: error.status, reason: error.message }
      }
      if (isLast) return failed(run, source, error)
      if (!(error instanceof ChecksumMismatch)) await source.pause(attempt, error, { signal })
    }
  }
}

/** One try: continues where the partial ends, or from 0 where the upstream cannot. */
async function transfer(
  run: Run,
  source: Source,
  wanted: Wanted,
  partial: Partial,
  signal: AbortSignal,
): Promise<void> {
  const body = await source.artifact(wanted, { offset: partial.length, signal })
  if (body.offset !== partial.length) await partial.restart()
  try {
    if ('pieces' in body) takeWhole(run, partial, body.pieces)
    else for await (const chunk of body.chunks) take(run, partial, chunk)
  } catch (error) {
    partial.keep()
    throw error
  }
}

function takeWhole(run: Run, partial: Partial, pieces: readonly Uint8Array[]): void {
  const before = partial.length
  partial.adopt(pieces)
  run.progress.bytes += partial.length - before
}

function take(run: Run, partial: Partial, chunk: Uint8Array): void {
  partial.write(chunk)
  run.progress.bytes += chunk.length
}

async function finish(
  run: Run,
  { checksum }: Wanted,
  partial: Partial,
  { isLast }: { readonly isLast: boolean },
): Promise<void> {
  const evidence = run.writer.at(evidenceFile(checksum, 'crate'))
  await partial.finish(checksum, isLast ? { evidence } : {})
}

async function failed(
  run: Run,
  source: Source,
  error: Error,
): Promise<Outcome & { kind: 'failed' }> {
  if (!(error instanceof ChecksumMismatch)) return { kind: 'failed', reason: error.message }
  const { expected, found } = error
  await noteEvidence(run.writer, { from: source.name, expected, found, at: stamp(run.now()) })
  const tries = `asked ${run.settings.tries} times`
  return {
    kind: 'failed',
    reason: `${source.name} serves sha256 ${found} where the index says ${expected}, ${tries}`,
  }
}
