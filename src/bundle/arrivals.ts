import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { sealedFolders } from './bags.ts'
import { SEAL_FILE } from './seal.ts'

/** What lies in one place, stands still, and was not taken as it is now. */
export interface Arrival {
  readonly place: string
  /** Of its bags: seals, names and sizes. */
  readonly state: string
}

const STILL_LOOKS = 3

/**
 * Which of the watched places have something to be taken. A bag counts when it is sealed and its files
 * stood still for three looks, which is courtesy: hashes decide, and an import says what is wrong. What
 * was taken or refused is not tried again until something about it changes.
 */
export class Arrivals {
  readonly #looks = new Map<string, { readonly state: string; readonly times: number }>()
  readonly #done = new Map<string, string>()

  /** Looks once; `isWaiting`: something may be ready soon. */
  look(places: readonly string[]): {
    readonly ready: readonly Arrival[]
    readonly isWaiting: boolean
  } {
    const ready: Arrival[] = []
    let isWaiting = false
    for (const place of places) {
      const state = stateOf(place)
      if (state === '' || this.#done.get(place) === state) continue
      const before = this.#looks.get(place)
      const times = before?.state === state ? before.times + 1 : 1
      this.#looks.set(place, { state, times })
      if (times >= STILL_LOOKS) ready.push({ place, state })
      else isWaiting = true
    }
    return { ready, isWaiting }
  }

  /** It ended, however: it is not tried again as it was. */
  taken({ place, state }: Arrival): void {
    this.#done.set(place, state)
  }
}

/** Empty where there is no bag. What cannot even be looked at is for an import to refuse, in words. */
function stateOf(place: string): string {
  try {
    return sealedFolders(place).map(stateOfBag).join('\n')
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error
    return error.code === 'no-mirror' ? '' : error.message
  }
}

function stateOfBag(folder: string): string {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
    const sizes = names.map(name => `${name} ${lstatSync(join(folder, name)).size}`)
    return [sha256(readFileSync(join(folder, SEAL_FILE))), folder, ...sizes].join('\n')
  } catch {
    // files come and go while they are copied: not still
    return `${folder} ${performance.now()}`
  }
}
