import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { discardFile, makeFolder, replaceFile } from '../store/durable.ts'
import { keyFile, openKeyFile, type SigningKey } from '../trust/key-file.ts'

const ROOT_KEYS = ['root-1', 'root-2', 'root-3']
const ONLINE_KEYS = ['targets', 'snapshot', 'timestamp'] as const

/** All keys of a chain that this program signs alone, root included. */
export interface FolderKeys {
  readonly root: readonly SigningKey[]
  readonly targets: SigningKey
  readonly snapshot: SigningKey
  readonly timestamp: SigningKey
}

/** The plain keys of a chain, each a file of mode 0600 in a folder of mode 0700. */
export async function readKeys(folder: string): Promise<FolderKeys> {
  return {
    root: await Promise.all(ROOT_KEYS.map(name => readKey(folder, name))),
    targets: await readKey(folder, 'targets'),
    snapshot: await readKey(folder, 'snapshot'),
    timestamp: await readKey(folder, 'timestamp'),
  }
}

/** Makes the keys that are not there yet: a run that was killed here left some of them. */
export async function makeKeys(folder: string): Promise<FolderKeys> {
  await makeFolder(folder)
  chmodSync(folder, 0o700)
  for (const name of [...ROOT_KEYS, ...ONLINE_KEYS]) {
    const file = placeOf(folder, name)
    if (existsSync(file)) continue
    const via = `${file}.new`
    await discardFile(via)
    await replaceFile(file, await keyFile(randomBytes(32), {}), { via, mode: 0o600 })
  }
  return await readKeys(folder)
}

async function readKey(folder: string, name: string): Promise<SigningKey> {
  const file = placeOf(folder, name)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (error) {
    throw new MirrorError(
      'usage',
      `cannot read ${file}: without its keys this chain cannot go on; bring them back, or begin a new one in another folder`,
      { cause: error },
    )
  }
  return await openKeyFile(bytes, file, async () => {
    throw new MirrorError('usage', `${file} is sealed, and these keys sign unattended`)
  })
}

function placeOf(folder: string, name: string): string {
  return join(folder, `${name}.key`)
}
