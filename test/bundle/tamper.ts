import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bundle, bundleBytes, readBundle } from '../../src/bundle/bundle-json.ts'
import { manifestBytes } from '../../src/bundle/manifest.ts'
import { header, paddedSize } from '../../src/bundle/ustar.ts'
import { sha256 } from '../../src/registry/checksum.ts'

/** What an attacker does who can write on the medium and has no key. */

const TAGS = ['README.txt', 'bag-info.txt', 'bagit.txt', 'bundle.json', 'manifest-sha256.txt']

/** Makes both manifests say what lies there now. */
export function reseal(bag: string): void {
  const data = readdirSync(join(bag, 'data'), { recursive: true, withFileTypes: true })
  const files = data.filter(entry => entry.isFile())
  const paths = files.map(({ parentPath, name }) => join(parentPath, name).slice(bag.length + 1))
  const hashOf = (file: string): ReturnType<typeof sha256> => sha256(readFileSync(join(bag, file)))
  const manifest = new Map(paths.map(path => [path, hashOf(path)]))
  writeFileSync(join(bag, 'manifest-sha256.txt'), manifestBytes(manifest))
  const tags = new Map(TAGS.map(name => [name, hashOf(name)]))
  writeFileSync(join(bag, 'tagmanifest-sha256.txt'), manifestBytes(tags))
}

export interface TarMember {
  readonly header: Buffer
  readonly path: string
  readonly data: Buffer
}

/** The members of a volume as they lie there. */
export function membersIn(volume: string): TarMember[] {
  const bytes = readFileSync(volume)
  const members: TarMember[] = []
  for (let at = 0; bytes[at] !== 0; ) {
    const block = bytes.subarray(at, at + 512)
    const path = block.toString('latin1', 0, 100).replace(/\0.*$/s, '')
    const size = Number.parseInt(block.toString('latin1', 124, 135), 8)
    members.push({ header: block, path, data: bytes.subarray(at + 512, at + 512 + size) })
    at += 512 + paddedSize(size)
  }
  return members
}

export const member = (path: string, data: Buffer): TarMember => ({
  header: header(path, data.length),
  path,
  data,
})

/** Writes the volume and an index that agrees with it, and, where the plan can say it, the plan. */
export function rewriteVolume(bag: string, file: string, members: readonly TarMember[]): void {
  const kind = file.slice(0, file.lastIndexOf('-'))
  const lines: string[] = []
  const pieces: Buffer[] = []
  let offset = 0
  for (const { header: block, path, data } of members) {
    lines.push(`${offset}\t${data.length}\t${sha256(data)}\t${path}\n`)
    const padding = Buffer.alloc(paddedSize(data.length) - data.length)
    pieces.push(block, data, padding)
    offset += block.length + data.length + padding.length
  }
  const bytes = Buffer.concat([...pieces, Buffer.alloc(1024)])
  writeFileSync(join(bag, 'data', kind, `${file}.tar`), bytes)
  writeFileSync(join(bag, 'data', kind, `${file}.idx`), lines.join(''))
  rewritePlan(bag, plan => ({
    ...plan,
    volumes: plan.volumes.map(volume =>
      volume.file === file
        ? {
            ...volume,
            bytes: bytes.length,
            members: members.length,
            first: members[0]?.path ?? '',
            last: members.at(-1)?.path ?? '',
          }
        : volume,
    ),
  }))
}

/** Another plan, with the id that it has then. */
export function rewritePlan(bag: string, change: (plan: Bundle['plan']) => Bundle['plan']): void {
  const file = join(bag, 'bundle.json')
  const bundle = readBundle(readFileSync(file), file)
  const bytes = bundleBytes({ ...bundle, plan: change(bundle.plan) })
  writeFileSync(file, bytes)
  const id = /"bundleId":"([0-9a-f]{64})"/.exec(bytes.toString())?.[1]
  const info = join(bag, 'bag-info.txt')
  writeFileSync(info, readFileSync(info, 'utf8').replace(/(?<=Group-Identifier: ).*/, id ?? ''))
}
