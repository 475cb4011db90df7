import type { ChainWalk } from '../sync/chain-walk.ts'

/** The way from the root to the artifact, a line each step. */
export function walkInWords(walk: ChainWalk): readonly string[] {
  const { crate, version, metadata, tree, tiles, entry, checksum } = walk
  return [
    ...metadata.map(
      ({ role, version, expires, threshold, signers }) =>
        `${label(`${role} ${version}`)}${threshold} needed, signed by ${signers.map(short).join(', ')}; until ${expires}`,
    ),
    `${label('tree')}${tree}`,
    ...tiles.slice(1).map(({ position, hash }) => `${label(`tile ${position}`)}${hash}`),
    `${label('index entry')}${entry.sha256}  ${entry.path}, ${entry.length} bytes`,
    `${label('artifact')}${checksum}  ${crate} ${version}`,
  ]
}

/** Versions grow: what follows stands apart all the same. */
function label(text: string): string {
  return `${text.padEnd(13)} `
}

function short(keyid: string): string {
  return keyid.slice(0, 16)
}

/** The same for machines. */
export function walkFacts(walk: ChainWalk): object {
  const { files: _, tiles, ...facts } = walk
  return { ...facts, tiles: tiles.map(({ position, hash }) => ({ position, hash })) }
}
