import { opendirSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError, quoted } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { bagGroup, isBagName } from './bag.ts'
import { BUNDLE_BYTES_MAX, type Bundle, readBundle } from './bundle-json.ts'
import {
  MANIFEST_BYTES_MAX,
  type Manifest,
  readManifest,
  readSeal,
  SEAL_BYTES_MAX,
} from './manifest.ts'
import { deviceOfFolder, isRegularFile, readCapped } from './medium-file.ts'
import { SEAL_FILE } from './seal.ts'

/** A sealed bag on a medium, its tag files read once and nothing in them believed. */
export interface Bag {
  readonly folder: string
  readonly device: number
  readonly id: Checksum
  readonly bundle: Bundle
  /** Undefined where it is damaged: what the files must hash to is not known then. */
  readonly manifest: Manifest | undefined
  /** Tag files that are not as the seal has them. */
  readonly damaged: readonly string[]
  /** Files that nothing lists and nobody opens. */
  readonly unlisted: { readonly count: number; readonly first: readonly string[] }
}

const NAMES_MAX = 4096
const DEPTH_MAX = 4
const UNLISTED_TOLD = 20
const TEXT_BYTES_MAX = 65_536

/**
 * The bags in these folders, each a bag itself or a medium with bags on it.
 * @throws {MirrorError} no-mirror where there is none; refused
 */
export function findBags(folders: readonly string[]): Bag[] {
  const found = folders.flatMap(sealedFolders)
  const opened = found.map(openBag)
  const bundles = new Map<Checksum, Bundle>()
  for (const { bundle } of opened) if (bundle !== undefined) bundles.set(bundle.bundleId, bundle)
  const bags = opened.map(({ group, ...bag }) => {
    // the same bytes lie on every medium, so a damaged plan is taken from another
    const bundle = bag.bundle ?? bundles.get(group as Checksum)
    if (bundle !== undefined) return { ...bag, bundle }
    throw new MirrorError(
      'damaged',
      `${join(bag.folder, 'bundle.json')} is damaged; export it again`,
    )
  })
  if (bags.length > 0) return bags
  throw new MirrorError('no-mirror', `${folders.map(quoted).join(', ')}: no sealed bag is there`)
}

/** The folder itself where it is a bag, else the bags in it; nothing of them is read yet. @throws {MirrorError} refused */
export function sealedFolders(folder: string): string[] {
  const device = deviceOfFolder(folder)
  if (device === undefined) throw new MirrorError('no-mirror', `${folder} is not there`)
  if (hasSeal(folder, device)) return [folder]
  const names = namesIn(folder, { max: NAMES_MAX }).filter(isBagName).sort()
  return names
    .map(name => join(folder, name))
    .filter(path => {
      const its = deviceOfFolder(path, device)
      return its !== undefined && hasSeal(path, its)
    })
}

/** Not read yet: what a device gives once is what is decided on. */
function hasSeal(folder: string, device: number): boolean {
  return isRegularFile(join(folder, SEAL_FILE), device)
}

function namesIn(folder: string, { max }: { readonly max: number }): string[] {
  const names: string[] = []
  const entries = opendirSync(folder, { bufferSize: 256 })
  try {
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      names.push(entry.name)
      if (names.length > max) {
        throw new MirrorError(
          'refused',
          `${folder} has more than ${max} names; name the bag itself`,
        )
      }
    }
  } finally {
    entries.closeSync()
  }
  return names
}

type Opened = Omit<Bag, 'bundle'> & {
  readonly bundle: Bundle | undefined
  readonly group: string | undefined
}

function openBag(folder: string): Opened {
  const device = deviceOfFolder(folder) ?? 0
  const seal = readCapped(join(folder, SEAL_FILE), SEAL_BYTES_MAX, device)
  if (seal === undefined) throw new MirrorError('no-mirror', `${folder} is not sealed`)
  const tags = readSeal(seal, join(folder, SEAL_FILE))
  const damaged: string[] = []
  const tag = (name: string, bytesMax: number): Buffer | undefined => {
    const bytes = readCapped(join(folder, name), bytesMax, device)
    if (bytes !== undefined && sha256(bytes) === tags.get(name)) return bytes
    damaged.push(name)
    return undefined
  }
  tag('README.txt', TEXT_BYTES_MAX)
  tag('bagit.txt', TEXT_BYTES_MAX)
  const info = tag('bag-info.txt', TEXT_BYTES_MAX)
  const plan = tag('bundle.json', BUNDLE_BYTES_MAX)
  const list = tag('manifest-sha256.txt', MANIFEST_BYTES_MAX)
  const bundle = plan && readBundle(plan, join(folder, 'bundle.json'))
  const group = info && bagGroup(info.toString('latin1'))
  if (bundle !== undefined && group !== undefined && group !== bundle.bundleId) {
    throw new MirrorError('refused', `${folder}: bag-info.txt is of another bundle`)
  }
  const manifest = list && readManifest(list, join(folder, 'manifest-sha256.txt'))
  for (const path of ['data', ...new Set([...(manifest?.keys() ?? [])].map(folderOf))]) {
    deviceOfFolder(join(folder, path), device)
  }
  const listed = new Set([...tags.keys(), SEAL_FILE, ...(manifest?.keys() ?? [])])
  const unlisted = unlistedIn(folder, listed, device)
  return { folder, device, id: sha256(seal), bundle, group, manifest, damaged, unlisted }
}

const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')))

function unlistedIn(folder: string, listed: ReadonlySet<string>, device: number): Bag['unlisted'] {
  const found: string[] = []
  const folders = foldersAbove(listed)
  let left = NAMES_MAX + 2 * listed.size
  const look = (below: string, depth: number): void => {
    if (depth > DEPTH_MAX) throw new MirrorError('refused', `${join(folder, below)} is too deep`)
    const names = namesIn(join(folder, below), { max: left })
    left -= names.length
    for (const name of names) {
      const path = below === '' ? name : `${below}/${name}`
      if (listed.has(path)) continue
      if (folders.has(path)) {
        deviceOfFolder(join(folder, path), device)
        look(path, depth + 1)
      } else found.push(path)
    }
  }
  look('', 1)
  return { count: found.length, first: found.sort().slice(0, UNLISTED_TOLD).map(quoted) }
}

function foldersAbove(files: ReadonlySet<string>): ReadonlySet<string> {
  const folders = new Set<string>()
  for (const file of files) {
    for (let folder = folderOf(file); folder !== ''; folder = folderOf(folder)) folders.add(folder)
  }
  return folders
}
