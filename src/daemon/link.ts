import { networkInterfaces } from 'node:os'

/** Whether this machine has come to another network, or to any: by the addresses that it has. */
export class Link {
  #seen = addresses()

  /** Whether the addresses are others than when this was asked last. */
  hasChanged(): boolean {
    const now = addresses()
    const isOther = now !== this.#seen
    this.#seen = now
    return isOther
  }
}

function addresses(): string {
  return Object.entries(networkInterfaces())
    .flatMap(([name, list]) => (list ?? []).map(({ address }) => `${name} ${address}`))
    .sort()
    .join('\n')
}
