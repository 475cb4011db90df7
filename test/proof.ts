import { claimedBy, readProof } from '../src/cli/proof-file.ts'
import { MirrorError } from '../src/error.ts'
import type { Checksum } from '../src/registry/checksum.ts'
import { walkChain } from '../src/sync/chain-walk.ts'

/** What the program makes of a proof, in this process, for thousands of them. */
export async function proofOutcome(
  bytes: Uint8Array,
  pinned: Uint8Array,
  artifact: Checksum,
): Promise<string> {
  try {
    const files = readProof(bytes, 'proof')
    const claimed = claimedBy(files, artifact, 'proof')
    const walk = await walkChain(
      name => files.get(name),
      { pinned, folder: claimed.folder },
      claimed,
    )
    return walk.checksum === artifact ? 'good' : 'another artifact'
  } catch (error) {
    if (error instanceof MirrorError) return error.code
    throw error
  }
}
