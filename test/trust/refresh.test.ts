import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import type { KeptChain } from '../../src/trust/chain-io.ts'
import { signingKey } from '../../src/trust/key-file.ts'
import { foundRoot } from '../../src/trust/root-text.ts'
import { signTree } from '../../src/trust/sign.ts'
import { Client, later, NOW } from './client.ts'
import { type Files, signedFile } from './repository.ts'

const key = (n: number): ReturnType<typeof signingKey> => signingKey(Buffer.alloc(32, n))
const KEYS = {
  root: [key(1), key(2), key(3)],
  targets: key(4),
  snapshot: key(5),
  timestamp: key(6),
}
/** A signed repository in memory, with every version it ever published. */
class Repository {
  readonly files: Files = {}
  #kept: { -readonly [K in keyof KeptChain]: KeptChain[K] }

  private constructor(root: Uint8Array) {
    this.files['1.root.json'] = root
    this.#kept = { root, roots: [root] }
  }

  static async found(): Promise<Repository> {
    return new Repository(await foundRoot(KEYS, { threshold: 2, now: NOW }))
  }

  async publish(text: string, now = NOW): Promise<void> {
    const tree = sha256(text)
    const statement = { tree, length: text.length, entries: 1 }
    const { files, versions } = await signTree(this.#kept, statement, KEYS, { now })
    for (const { file, bytes } of files) {
      const role = file.replace('.json', '') as 'targets' | 'snapshot' | 'timestamp'
      this.#kept = { ...this.#kept, [role]: bytes }
      this.files[role === 'timestamp' ? file : `${versions[role]}.${file}`] = bytes
    }
  }
}

async function published(): Promise<{ repository: Repository; client: Client }> {
  const repository = await Repository.found()
  await repository.publish('one')
  const client = new Client(repository.files['1.root.json'] ?? new Uint8Array())
  return { repository, client }
}

/** Signed by whom we like, with what we like. */
function forged(bytes: Uint8Array | undefined, change: object, by: readonly number[]): Uint8Array {
  const { signed } = JSON.parse(Buffer.from(bytes ?? []).toString()) as { signed: object }
  return signedFile({ ...signed, ...change }, by.map(key))
}

test('a first refresh asks in order, a second one asks two things', async () => {
  const { repository, client } = await published()
  expect((await client.refresh(repository.files)).tree).toBe(sha256('one'))
  expect(client.asked).toEqual([
    '2.root.json',
    'timestamp.json',
    '1.snapshot.json',
    '1.targets.json',
  ])
  await client.refresh(repository.files)
  expect(client.asked).toEqual(['2.root.json', 'timestamp.json'])
  await repository.publish('two')
  const vouched = await client.refresh(repository.files)
  expect(vouched).toMatchObject({ tree: sha256('two'), versions: { targets: 2, timestamp: 2 } })
})

test('killed at any file it keeps, a refresh goes on, and floors hold', async () => {
  for (let at = 1; at <= 5; at += 1) {
    const { repository, client } = await published()
    await client.refresh(repository.files)
    const old = { ...repository.files }
    await repository.publish('two', later(13))
    client.failKeepAt = at
    await client.refresh(repository.files, later(13)).catch(() => {})
    client.failKeepAt = undefined
    if (client.kept['timestamp.json'] === repository.files['timestamp.json']) {
      expect(await client.refusal(old, later(13)), `killed at ${at}`).toBe('rollback')
    }
    expect((await client.refresh(repository.files, later(13))).tree).toBe(sha256('two'))
  }
})

test('metadata that is older, expired, forked or wrongly signed is refused with its code', async () => {
  const { repository, client } = await published()
  await client.refresh(repository.files)
  const old = repository.files['timestamp.json'] as Uint8Array
  await repository.publish('two')
  await client.refresh(repository.files)
  const { files } = repository
  const timestamp = files['timestamp.json']
  const with_ = (change: Files): Files => ({ ...files, ...change })

  expect(await client.refusal(with_({ 'timestamp.json': old }))).toBe('rollback')
  expect(await client.refusal(files, later(49))).toBe('expired')
  const unsigned = forged(timestamp, { version: 3 }, [])
  expect(await client.refusal(with_({ 'timestamp.json': unsigned }))).toBe('signature')
  const foreign = forged(timestamp, { version: 3 }, [5])
  expect(await client.refusal(with_({ 'timestamp.json': foreign }))).toBe('signature')
  const noDate = forged(timestamp, { version: 3, expires: '2999' }, [6])
  expect(await client.refusal(with_({ 'timestamp.json': noDate }))).toBe('refused')
  const february = forged(timestamp, { version: 3, expires: '2027-02-30T00:00:00Z' }, [6])
  expect(await client.refusal(with_({ 'timestamp.json': february }))).toBe('refused')
  const otherType = forged(timestamp, { version: 3, _type: 'snapshot' }, [6])
  expect(await client.refusal(with_({ 'timestamp.json': otherType }))).toBe('signature')
  expect(await client.refusal(with_({ 'timestamp.json': Buffer.from('<html>') }))).toBe('refused')
  const twice = Buffer.from(
    Buffer.from(timestamp ?? [])
      .toString()
      .replace('{', '{"signed":{},'),
  )
  expect(await client.refusal(with_({ 'timestamp.json': twice }))).toBe('refused')
  const { 'timestamp.json': _, ...without } = files
  expect(await client.refusal(without)).toBe('incomplete')
})

test('one flipped answer is asked for again before it is refused', async () => {
  const { repository, client } = await published()
  const good = repository.files['timestamp.json'] as Uint8Array
  let asked = 0
  const files = new Proxy(repository.files, {
    get: (target, name: string) => {
      if (name !== 'timestamp.json') return target[name]
      asked += 1
      return asked === 1 ? Buffer.from('{') : good
    },
  })
  expect((await client.refresh(files)).tree).toBe(sha256('one'))
})

test('an equal timestamp with other content keeps the first one; a snapshot so is equivocation', async () => {
  const { repository, client } = await published()
  await client.refresh(repository.files)
  const { files } = repository
  const timestamp = forged(files['timestamp.json'], { expires: '2026-11-27T00:00:00Z' }, [6])
  const vouched = await client.refresh({ ...files, 'timestamp.json': timestamp })
  expect(vouched.warnings).toHaveLength(1)
  expect(client.kept['timestamp.json']).toBe(files['timestamp.json'])

  const snapshot = forged(files['1.snapshot.json'], { expires: '2026-11-27T00:00:00Z' }, [5])
  const meta = { 'snapshot.json': { version: 1, hashes: { sha256: sha256(snapshot) } } }
  const next = forged(files['timestamp.json'], { version: 2, meta }, [6])
  const fork = { ...files, '1.snapshot.json': snapshot, 'timestamp.json': next }
  await expect(client.refresh(fork)).rejects.toMatchObject({ code: 'equivocation' })
})

test('a root needs both thresholds, exactly the next version, and one key counts once', async () => {
  const { repository, client } = await published()
  await client.refresh(repository.files)
  const { files } = repository
  const first = files['1.root.json']
  const root = (change: object, by: readonly number[]): Files => ({
    ...files,
    '2.root.json': forged(first, { version: 2, ...change }, by),
  })
  expect(await client.refusal(root({}, [1]))).toBe('signature')
  expect(await client.refusal(root({}, [4, 5]))).toBe('signature')
  expect(await client.refusal(root({ version: 3 }, [1, 2]))).toBe('signature')
  const { signed } = JSON.parse(Buffer.from(first ?? []).toString()) as {
    signed: { keys: Record<string, object>; roles: Record<string, object> }
  }
  // the same key under a second key id: one more field gives it another hash
  const alias: Record<string, unknown> = { ...key(1).public, note: 'the same key' }
  const aliasId = sha256(
    JSON.stringify({
      keytype: 'ed25519',
      keyval: alias['keyval'],
      note: 'the same key',
      scheme: 'ed25519',
    }),
  )
  const roles = { ...signed.roles, root: { keyids: [key(1).keyid, aliasId], threshold: 2 } }
  const keys = { ...signed.keys, [aliasId]: alias }
  expect(await client.refusal(root({ roles, keys }, [1, 2]))).toBe('signature')
  const wrongId = { ...signed.keys, [sha256('no key')]: key(9).public }
  expect(await client.refusal(root({ keys: wrongId }, [1, 2]))).toBe('signature')

  await client.refresh(root({}, [1, 3]))
  expect(client.kept['root_history/2.root.json']).toBeDefined()
})

test('after a rotated timestamp key lower versions are accepted: a fast-forward is recovered', async () => {
  const { repository, client } = await published()
  const { files } = repository
  const pushed = forged(files['timestamp.json'], { version: 9_000_000 }, [6])
  await client.refresh({ ...files, 'timestamp.json': pushed })
  expect(await client.refusal(files)).toBe('rollback')
  const { signed } = JSON.parse(Buffer.from(files['1.root.json'] ?? []).toString()) as {
    signed: { keys: Record<string, object>; roles: Record<string, object> }
  }
  const roles = { ...signed.roles, timestamp: { keyids: [key(7).keyid], threshold: 1 } }
  const keys = { ...signed.keys, [key(7).keyid]: key(7).public }
  const rotated = {
    ...files,
    '2.root.json': forged(files['1.root.json'], { version: 2, roles, keys }, [1, 2]),
    'timestamp.json': forged(files['timestamp.json'], { version: 2 }, [7]),
  }
  // killed between the root and the drop of the old files
  client.failKeepAt = 3
  await client.refresh(rotated).catch(() => {})
  client.failKeepAt = undefined
  expect((await client.refresh(rotated)).versions.timestamp).toBe(2)
})

test('a clock that ran back is refused, unless the operator accepts it', async () => {
  const { repository, client } = await published()
  await client.refresh(repository.files, later(2))
  await client.refresh(repository.files, later(1.5))
  expect(await client.refusal(repository.files, later(0.5))).toBe('clock')
  await client.refresh(repository.files, later(0.5), true)
  await client.refresh(repository.files, later(0.5))
})

test('pretty-printed metadata counts by its canonical form', async () => {
  const { repository, client } = await published()
  const pretty = Object.fromEntries(
    Object.entries(repository.files).map(([file, bytes]) => [
      file,
      Buffer.from(JSON.stringify(JSON.parse(Buffer.from(bytes).toString()), null, 2)),
    ]),
  )
  expect((await client.refresh(pretty)).tree).toBe(sha256('one'))
})
