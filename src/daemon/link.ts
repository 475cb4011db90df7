import { readFileSync } from 'node:fs'
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

/** Where Linux tells its addresses without a netlink socket, which the hardened unit forbids. */
const FILES = ['/proc/self/net/fib_trie', '/proc/self/net/if_inet6']

/** Some text that is another one when the addresses are; empty where nobody tells them. */
function addresses(): string {
  const told = FILES.flatMap(file => contentOf(file) ?? [])
  if (told.length > 0) return told.join()
  try {
    return Object.entries(networkInterfaces())
      .flatMap(([name, list]) => (list ?? []).map(({ address }) => `${name} ${address}`))
      .sort()
      .join('\n')
  } catch {
    return ''
  }
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
