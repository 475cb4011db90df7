import type { ChainWalk } from '../sync/chain-walk.ts'

/** The way from the root to the artifact, a line each step. */
export function walkInWords(walk: ChainWalk): readonly string[] {
  const { crate, version, metadata, tree, tiles, entry, checksum } = walk
  return [
    ...metadata.map(
      ({ role, version, expires, threshold, signers }) =>
        `${`${role} ${version}`.padEnd(14)}${threshold} needed, signed by ${signers.map(short).join(', ')}; until ${expires}`,
    ),
    `${'tree'.padEnd(14)}${tree}`,
    ...tiles.slice(1).map(({ position, hash }) => `${`tile ${position}`.padEnd(14)}${hash}`),
    `${'index entry'.padEnd(14)}${entry.sha256}  ${entry.path}, ${entry.length} bytes`,
    `${'artifact'.padEnd(14)}${checksum}  ${crate} ${version}`,
  ]
}

function short(keyid: string): string {
  return keyid.slice(0, 16)
}

/** The same for machines. */
export function walkFacts(walk: ChainWalk): object {
  const { files: _, tiles, ...facts } = walk
  return { ...facts, tiles: tiles.map(({ position, hash }) => ({ position, hash })) }
}
