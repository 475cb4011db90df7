import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Checksum } from '../../src/registry/checksum.ts'
import type { IndexPath } from '../../src/registry/sparse-path.ts'
import type { Position } from '../../src/tree/entry.ts'
import { signedRepository } from '../../src/upstream/signed-repository.ts'
import { upstreamContract } from '../upstream.contract.ts'
import { serveFolder } from '../upstream.ts'
import { TestClient } from './client.ts'

upstreamContract('a signed repository over HTTP', async folder => {
  const server = await serveFolder(join(folder, 'public'))
  const upstream = signedRepository(server.url, new TestClient(), { chain: 'tuf' })
  return {
    upstream,
    [Symbol.asyncDispose]: async (): Promise<void> => {
      await upstream.close()
      await server[Symbol.asyncDispose]()
    },
  }
})

const HASH = 'f'.repeat(64) as Checksum

test('what is asked for has the names of a static mirror, and config.json is never asked for', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'names-'))
  await using server = await serveFolder(folder.path)
  await using client = new TestClient()
  const upstream = signedRepository(`${server.url}below/`, client, { chain: 'site' })
  const signal = AbortSignal.timeout(10_000)
  const entry = { path: 'fe/rr/ferrymast' as IndexPath, length: 3, sha256: HASH }
  await upstream.metadata('timestamp.json', { bytesMax: 1_000, signal })
  for (const position of ['', '0', '01', '012'] as Position[]) {
    await upstream.tile(position, HASH, { signal }).catch(() => {})
  }
  await upstream.indexFile(entry, { signal }).catch(() => {})
  expect(server.requests.map(({ path }) => path)).toEqual([
    '/below/site/timestamp.json',
    `/below/tuf/${HASH}.index-tree`,
    `/below/tuf/tree/${HASH}.0`,
    `/below/tuf/tree/${HASH}.01`,
    `/below/tuf/tree/01/${HASH}.012`,
    `/below/index/fe/rr/${HASH}.ferrymast`,
    '/below/index/fe/rr/ferrymast',
  ])
})

test('403 says "missing" of metadata, as object storage does; 410 and 500 are not that', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'object-'))
  await using server = await serveFolder(folder.path)
  await using client = new TestClient()
  const upstream = signedRepository(server.url, client, { chain: 'tuf' })
  const asked = (status: number): Promise<Uint8Array | undefined> => {
    server.behave()
    server.misbehave(/./, { kind: 'status', status })
    const signal = AbortSignal.timeout(10_000)
    return upstream.metadata('2.root.json', { bytesMax: 1_000, signal })
  }
  expect(await asked(403)).toBeUndefined()
  expect(await asked(404)).toBeUndefined()
  await expect(asked(410)).rejects.toMatchObject({ code: 'incomplete', status: 410 })
  await expect(asked(500)).rejects.toMatchObject({ code: 'incomplete', transient: true })
})

test('an index file refused by its hash name is not looked for by its path', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'path-'))
  mkdirSync(join(folder.path, 'index/2'), { recursive: true })
  writeFileSync(join(folder.path, 'index/2/fy'), 'fy\n')
  await using server = await serveFolder(folder.path)
  await using client = new TestClient()
  const upstream = signedRepository(server.url, client, { chain: 'tuf' })
  server.misbehave(/f{64}/, { kind: 'status', status: 500 })
  const entry = { path: '2/fy' as IndexPath, length: 3, sha256: HASH }
  const asked = upstream.indexFile(entry, { signal: AbortSignal.timeout(10_000) })
  await expect(asked).rejects.toMatchObject({ transient: true })
  expect(server.requests.count(/fy$/)).toBe(server.requests.count(/f{64}\.fy$/))
})
