import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { discardFile, makeFolder, replaceFile } from '../store/durable.ts'
import { plainKeyFile, readKeyFile, type SigningKey } from '../trust/key-file.ts'
import type { ChainKeys } from '../trust/sign.ts'

const ROOT_KEYS = ['root-1', 'root-2', 'root-3']
const ONLINE_KEYS = ['targets', 'snapshot', 'timestamp'] as const

/** The plain keys of a chain, each a file of mode 0600 in a folder of mode 0700. */
export function readKeys(folder: string): ChainKeys {
  return {
    root: ROOT_KEYS.map(name => readKey(folder, name)),
    targets: readKey(folder, 'targets'),
    snapshot: readKey(folder, 'snapshot'),
    timestamp: readKey(folder, 'timestamp'),
  }
}

/** Makes the keys that are not there yet: a run that was killed here left some of them. */
export async function makeKeys(folder: string): Promise<ChainKeys> {
  await makeFolder(folder)
  chmodSync(folder, 0o700)
  for (const name of [...ROOT_KEYS, ...ONLINE_KEYS]) {
    const file = keyFile(folder, name)
    if (existsSync(file)) continue
    const via = `${file}.new`
    await discardFile(via)
    await replaceFile(file, plainKeyFile(randomBytes(32)), { via, mode: 0o600 })
  }
  return readKeys(folder)
}

function readKey(folder: string, name: string): SigningKey {
  const file = keyFile(folder, name)
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
  return readKeyFile(bytes, file)
}

function keyFile(folder: string, name: string): string {
  return join(folder, `${name}.key`)
}
