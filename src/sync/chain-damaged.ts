import { MirrorError } from '../error.ts'
import type { Chain } from '../store/chain-files.ts'
import { TRUST } from '../store/layout.ts'

/** What was whole when it was kept does not verify any more: that is our disk, and no attack. */
export class ChainDamaged extends MirrorError {
  constructor(chain: Chain, cause: MirrorError) {
    super('damaged', `${TRUST[chain]} is damaged or unfinished; run verify --repair`, { cause })
  }
}

/** Reads a chain that is kept here. @throws {ChainDamaged} where a file has not its form or signatures */
export function readKept<Result>(chain: Chain, read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    const isOfBytes =
      error instanceof MirrorError && (error.code === 'signature' || error.code === 'refused')
    throw isOfBytes ? new ChainDamaged(chain, error) : error
  }
}
