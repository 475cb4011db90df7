import { existsSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { linkFile, makeFolder, removeFolder, replaceFile } from '../store/durable.ts'
import { DOCTOR } from '../store/layout.ts'
import { bytesText } from '../units.ts'
import { type Check, failed, ok, type Patient, warn } from './doctor-check.ts'

/** By the magic numbers of Linux (statfs(2)); of others the number is told. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  801189825: 'zfs',
  4076150800: 'f2fs',
  19780: 'FAT',
  538032816: 'exFAT',
  1702057286: 'FUSE',
  16914836: 'tmpfs',
  2035054128: 'overlayfs',
  26985: 'NFS',
  4283649346: 'CIFS',
  4266872130: 'SMB',
}
const DOUBTS: Readonly<Record<string, string>> = {
  tmpfs: 'it is memory: nothing here survives a restart',
  overlayfs: 'it is the layer of a container: give the mirror a volume',
  NFS: 'a network disk: one machine only may write to this mirror',
  CIFS: 'a network disk: one machine only may write to this mirror',
  SMB: 'a network disk: one machine only may write to this mirror',
}

/** The disk: what it is, what is left of it, and whether it takes, names and keeps a file. */
export async function diskChecks(patient: Patient): Promise<readonly Check[]> {
  const { mirror, context } = patient
  const { type } = statfsSync(mirror.root)
  const name = FILE_SYSTEMS[type] ?? `type 0x${type.toString(16)}`
  try {
    const { medianMs, hasLinks } = await tried(join(mirror.root, DOCTOR))
    const links = hasLinks ? '' : '; it has no hard links, so index files take their space twice'
    const what = `${name}, a durable write takes ${medianMs.toFixed(1)} ms${links}`
    const doubt = DOUBTS[name]
    return [
      doubt === undefined ? ok('disk', what) : warn('disk', `${what}; ${doubt}`),
      ...spaceChecks(patient),
    ]
  } catch (error) {
    return [failed('disk', error, context.env), ...spaceChecks(patient)]
  }
}

const TRIES = 11

/** Writes as a sync does, in a folder of its own. */
async function tried(
  folder: string,
): Promise<{ readonly medianMs: number; readonly hasLinks: boolean }> {
  try {
    await makeFolder(folder)
    const [file, link, via] = ['file', 'link', 'via'].map(name => join(folder, name)) as [
      string,
      string,
      string,
    ]
    const times: number[] = []
    for (let at = 0; at < TRIES; at += 1) {
      const began = performance.now()
      await replaceFile(file, Buffer.alloc(4096, at), { via })
      times.push(performance.now() - began)
    }
    await linkFile(file, link, { via })
    const medianMs = times.sort((a, b) => a - b)[TRIES >> 1] ?? 0
    return { medianMs, hasLinks: statSync(file).ino === statSync(link).ino }
  } finally {
    if (existsSync(folder)) await removeFolder(folder)
  }
}

/** A sync stops at the reserve; each crate has three files or more. */
function spaceChecks({ mirror, config }: Patient): readonly Check[] {
  const { bavail, bsize, blocks, ffree, files } = statfsSync(mirror.root)
  const [free, size] = [bavail * bsize, blocks * bsize]
  const { reserveBytes } = config.store
  const what = `${bytesText(free)} free of ${bytesText(size)}, ${bytesText(reserveBytes)} are kept free`
  const few = files > 0 && ffree < files / 20
  return [
    free > reserveBytes * 2
      ? ok('space', what)
      : warn('space', `${what}: a sync stops soon, or at once`),
    ...(few ? [warn('space', `only ${ffree} of ${files} inodes are free`)] : []),
  ]
}
