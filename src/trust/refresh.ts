import type { ChainIo, KeptChain } from './chain-io.ts'
import { Cycle } from './cycle.ts'
import { type Freshness, ONLINE } from './freshness.ts'
import { type Vouched, vouchedBy } from './vouched.ts'

/** From the root kept to the tree that the chain vouches for, by `Cycle`. */
export async function refresh(
  kept: KeptChain,
  io: ChainIo,
  {
    now,
    acceptClock,
    freshness = ONLINE,
  }: { readonly now: Date; readonly acceptClock: boolean; readonly freshness?: Freshness },
): Promise<Vouched> {
  const cycle = new Cycle(kept, io, { now, acceptClock, freshness })
  await cycle.refresh()
  return { ...vouchedBy(cycle.trusted), warnings: cycle.warnings }
}
