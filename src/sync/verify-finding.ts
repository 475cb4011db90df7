import type { Checksum } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import type { Chain } from '../store/chain-files.ts'
import type { TileRef } from '../tree/entry.ts'
import type { Wanted } from '../upstream/upstream.ts'

/** What `verify` says of a mirror: a fault fails it (exit 4), a warning is for people. */
export type Finding = Fault | Warning

export interface Warning {
  readonly kind: 'warning'
  readonly what: string
}

/** One file that is not as the published snapshot, or its own name, says. */
export interface Fault {
  readonly kind: 'missing' | 'damaged' | 'unexpected'
  /** Below the mirror's root, with `/`. */
  readonly file: string
  /** One line: what, where, expected, found. */
  readonly what: string
  readonly crate?: CrateName
  readonly version?: Version
  /** What should be there, for whoever mends it; undefined: nothing names the file. */
  readonly named?: Named
}

/** What a file of a mirror is, by its hash where it has one. */
type Named =
  | { readonly kind: 'artifact'; readonly path: IndexPath; readonly wanted: Wanted }
  | {
      readonly kind: 'index file'
      readonly path: IndexPath
      readonly checksum: Checksum
      /** Unknown for the old file of a held crate, which no tree names any more. */
      readonly length: number | undefined
    }
  /** A file of the pruned index, by its hash. */
  | { readonly kind: 'pruned' }
  | { readonly kind: 'by path'; readonly path: IndexPath; readonly checksum: Checksum }
  | { readonly kind: 'tile'; readonly ref: TileRef }
  | {
      readonly kind: 'metadata'
      readonly chain: Chain
      /** What another copy here holds, and verifies; undefined: none does. */
      readonly right: Uint8Array | undefined
    }
  | { readonly kind: 'withdrawn'; readonly checksum: Checksum }
  | { readonly kind: 'record' }
  | { readonly kind: 'selection' }
  | { readonly kind: 'config.json' }

export function isFault(finding: Finding): finding is Fault {
  return finding.kind !== 'warning'
}

export function warning(what: string): Warning {
  return { kind: 'warning', what }
}

/** The facts that most faults share; `what` is made of the file and what was found there. */
export function fault(
  kind: Fault['kind'],
  file: string,
  found: string,
  facts: Pick<Fault, 'crate' | 'version' | 'named'> = {},
): Fault {
  return { kind, file, what: `${file}: ${found}`, ...facts }
}
