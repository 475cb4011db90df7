import { MirrorError } from '../error.ts'
import type { Chain } from '../store/chain-files.ts'
import { TRUST } from '../store/layout.ts'
import { SHOWN } from '../store/vouch.ts'
import { openEnvelope } from '../trust/envelope.ts'
import type { Root } from '../trust/root.ts'
import { requireThreshold } from '../trust/threshold.ts'
import { entriesIn, readRegular } from './verify-files.ts'
import { type Fault, fault } from './verify-finding.ts'

/** A file of a chain as it lies under its name. */
export interface Copy {
  readonly file: string
  readonly bytes: Uint8Array
}

const METADATA_BYTES_MAX = 64_000_000

/**
 * The two places of a chain: where others read it and where we keep it. Of each file that stands in
 * both one vouches for the bytes of the other, and mends it.
 */
export class ChainCopies {
  /** Folders below the mirror's root. */
  readonly shown: string
  readonly kept: string
  readonly #chain: Chain
  readonly #root: string

  constructor(root: string, chain: Chain) {
    this.#root = root
    this.#chain = chain
    this.shown = SHOWN[chain]
    this.kept = TRUST[chain]
  }

  /** Undefined where there is no file that can be read. */
  copy(file: string): Copy | undefined {
    const bytes = readRegular(this.#root, file, METADATA_BYTES_MAX)
    return bytes && { file, bytes }
  }

  namesIn(folder: string): string[] {
    return entriesIn(this.#root, folder).map(({ name }) => name)
  }

  /** The versions of the roots in a folder. */
  rootsIn(folder: string): number[] {
    const form = /^([1-9][0-9]{0,15})\.root\.json$/
    const versions = this.namesIn(folder).flatMap(name => form.exec(name)?.[1] ?? [])
    return versions.map(Number)
  }

  /**
   * One file in several places: what is wrong, or not there, is told. Where copies differ and all
   * verify, the one whose every signature stands as it was made is right; that one is returned.
   */
  *judge(
    files: readonly string[],
    check: (copy: Copy) => unknown,
    roots: readonly Root[],
  ): Generator<Fault, Uint8Array | undefined> {
    const looks = files.map(file => {
      const copy = this.copy(file)
      return { file, copy, reason: copy && tried(() => check(copy)).reason }
    })
    const right = looks.flatMap(({ copy, reason }) => (copy && reason === undefined ? [copy] : []))
    const [best] = right.sort((a, b) => flaws(a, roots) - flaws(b, roots))
    for (const { file, copy, reason } of looks) {
      if (copy === undefined) yield this.fault('missing', file, 'missing', best?.bytes)
      else if (reason !== undefined) yield this.fault('damaged', file, reason, best?.bytes)
      else if (best !== undefined && Buffer.compare(copy.bytes, best.bytes) !== 0) {
        yield this.fault('damaged', file, `differs from ${best.file}`, best.bytes)
      }
    }
    return best?.bytes
  }

  fault(kind: Fault['kind'], file: string, found: string, right: Uint8Array | undefined): Fault {
    const what = found.startsWith(file) ? found.slice(file.length + 2) : found
    return fault(kind, file, what, { named: { kind: 'metadata', chain: this.#chain, right } })
  }
}

/** What was read, or why it was refused; anything else passes. */
export function tried<T>(read: () => T): { readonly value?: T; readonly reason?: string } {
  try {
    return { value: read() }
  } catch (error) {
    if (error instanceof MirrorError) return { reason: error.message }
    throw error
  }
}

/** Signatures that count for nothing: TUF allows them, but a flipped bit makes them too. */
function flaws({ bytes, file }: Copy, roots: readonly Root[]): number {
  const envelope = openEnvelope(bytes, file)
  const roles = roots.flatMap(root => Object.values(root.roles))
  return envelope.signatures.filter(signature => {
    if (/[^0-9a-f]/.test(signature.sig)) return true
    const alone = { ...envelope, signatures: [signature] }
    const counts = (role: Root['roles']['root']): boolean =>
      tried(() => requireThreshold(alone, { ...role, threshold: 1 }, '')).reason === undefined
    return !roles.some(counts)
  }).length
}
