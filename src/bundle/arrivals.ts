import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { type Bag, findBags } from './bags.ts'

/** Bags in one place that stand still and were not taken as they are now. */
export interface Arrival {
  readonly place: string
  readonly bags: readonly Bag[]
}

const STILL_LOOKS = 3

/**
 * Which bags in watched places are to be taken. One counts when it is sealed and its files stood still
 * for three looks, which is courtesy: hashes decide. What was taken or refused is not taken again until
 * something about it changes.
 */
export class Arrivals {
  readonly #looks = new Map<string, { readonly sizes: string; readonly times: number }>()
  readonly #done = new Map<string, string>()

  /** Looks once; `isWaiting`: something may be ready soon. */
  look(places: readonly string[]): {
    readonly ready: readonly Arrival[]
    readonly isWaiting: boolean
  } {
    const ready: Arrival[] = []
    let isWaiting = false
    for (const place of places) {
      const bags = bagsIn(place)
      if (bags.length === 0) continue
      const sizes = stateOf(bags)
      if (this.#done.get(place) === sizes) continue
      const before = this.#looks.get(place)
      const times = before?.sizes === sizes ? before.times + 1 : 1
      this.#looks.set(place, { sizes, times })
      if (times >= STILL_LOOKS) ready.push({ place, bags })
      else isWaiting = true
    }
    return { ready, isWaiting }
  }

  /** It ended, however: it is not tried again as it is. */
  taken({ place, bags }: Arrival): void {
    this.#done.set(place, stateOf(bags))
  }
}

/** What is refused in its very form is no arrival yet; the next change brings another look. */
function bagsIn(place: string): Bag[] {
  try {
    return findBags([place])
  } catch (error) {
    if (error instanceof MirrorError) return []
    throw error
  }
}

function stateOf(bags: readonly Bag[]): string {
  return bags.map(({ id, folder }) => `${id as Checksum} ${sizesIn(folder)}`).join('\n')
}

function sizesIn(folder: string): string {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
    return names.map(name => `${name} ${lstatSync(join(folder, name)).size}`).join('\n')
  } catch {
    // files come and go while they are copied
    return ''
  }
}
