import { type Checksum, sha256 } from '../registry/checksum.ts'
import { evidenceFile } from './layout.ts'
import { recordBytes } from './record.ts'
import type { Writer } from './writer.ts'

/** Where the wrong bytes beside it came from, for whoever has to explain them. */
export interface Origin {
  /** The upstream, or the name in this mirror under which they lay. */
  readonly from: string
  readonly expected: Checksum
  readonly found: Checksum
  readonly at: string
}

/** One copy of wrong bytes is kept under the checksum they should have had; this says whose it is. */
export async function noteEvidence(writer: Writer, origin: Origin): Promise<void> {
  await writer.replace(evidenceFile(origin.expected, 'json'), recordBytes(origin))
}

/** Two signed files of one version that do not agree: each under its own hash. */
export async function keepContradiction(
  writer: Writer,
  file: string,
  contents: readonly Uint8Array[],
): Promise<void> {
  for (const bytes of contents) await writer.update(evidenceFile(sha256(bytes), file), bytes)
}
