import type { Checksum } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import type { Version } from '../registry/version.ts'

/** What a volume says one of its members is: a hint, as every word of an upstream. */
export interface Claim {
  readonly path: string
  /** Undefined where the path has only a checksum. */
  readonly named: { readonly crate: CrateName; readonly version: Version } | undefined
  /** Undefined where the volume's own index is lost. */
  readonly checksum: Checksum | undefined
  readonly size: number
}

const FILE_NAME_MAX = 100

/** Whether an artifact's file name is too long for a volume: then its path there is its checksum. */
export function liesByHash(crate: CrateName, version: Version): boolean {
  return `${crate}-${version}.crate`.length > FILE_NAME_MAX
}
