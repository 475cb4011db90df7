import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test as base, describe, expect } from 'vitest'
import { type Checksum, sha256 } from '../src/registry/checksum.ts'
import type { CrateName } from '../src/registry/crate-name.ts'
import { indexPath, prefixOf } from '../src/registry/sparse-path.ts'
import type { Version } from '../src/registry/version.ts'
import { artifactFile, indexFile, indexFileByHash, tileFile } from '../src/store/layout.ts'
import { type Position, ROOT, type TreeEntry } from '../src/tree/entry.ts'
import { NotThere, TransferCut } from '../src/upstream/faults.ts'
import type { ArtifactBody, ObservedUpstream, Upstream, Wanted } from '../src/upstream/upstream.ts'

/**
 * What every upstream promises, whatever it is made of. A maker gets a folder that looks like a
 * mirror (what its `public/` holds is below), and opens an upstream over it.
 */
export type Make<U> = (folder: string) => Promise<Opened<U>>

interface Opened<U> extends AsyncDisposable {
  readonly upstream: U
}

const MIB = 1_048_576

function wanted(crate: string, bytes: Uint8Array): Wanted & { readonly bytes: Uint8Array } {
  const names = { crate: crate as CrateName, version: '1.0.0' as Version }
  return { ...names, checksum: sha256(bytes), bytes }
}

function entry(crate: string, text: string): TreeEntry {
  const path = indexPath(crate as CrateName)
  return { path, length: Buffer.byteLength(text), sha256: sha256(text) }
}

/** What is on the shelf, and what is not. */
const small = wanted('ferry-hull', randomBytes(20_000))
const large = wanted('FerryMast', randomBytes(3 * MIB + 7))
const absent = wanted('ferry_deck', Buffer.from('nobody has it'))
const HULL = '{"name":"ferry-hull"}\n'
const FY = '{"name":"fy"}\n'
const byHash = entry('ferry-hull', HULL)
const byPath = entry('fy', FY)
const nowhere = entry('fry', '{"name":"fry"}\n')
const TILES = ([ROOT, 'a', 'ab', 'abc'] as Position[]).map(position => {
  const text = `tile ${position}`
  return { position, text, hash: sha256(text) }
})

function stock(folder: string): void {
  const put = (name: string, bytes: Uint8Array | string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), bytes)
  }
  for (const { crate, checksum, bytes } of [small, large]) {
    put(artifactFile(prefixOf(crate), checksum), bytes)
  }
  put(indexFileByHash(byHash.path, byHash.sha256), HULL)
  put(indexFile(byHash.path), 'a newer one\n')
  put(indexFile(byPath.path), FY)
  for (const { position, hash, text } of TILES) put(tileFile(position, hash), text)
  put('public/tuf/1.root.json', '{"signed":1}')
}

/** Nothing here takes long; what hangs ends with its test. */
const soon = (): { readonly signal: AbortSignal } => ({ signal: AbortSignal.timeout(10_000) })

async function collected(body: ArtifactBody): Promise<Buffer> {
  if ('pieces' in body) return Buffer.concat(body.pieces)
  const chunks: Uint8Array[] = []
  for await (const chunk of body.chunks) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const testOver = <U>(make: Make<U>) =>
  base
    .extend('folder', async ({}, { onCleanup }) => {
      const folder = await mkdtempDisposable(join(tmpdir(), 'shelf-'))
      onCleanup(() => folder.remove())
      stock(folder.path)
      return folder.path
    })
    .extend('upstream', async ({ folder }, { onCleanup }) => {
      const opened = await make(folder)
      onCleanup(() => opened[Symbol.asyncDispose]())
      return opened.upstream
    })

/** The cases of an upstream with a tree. */
export function upstreamContract(name: string, make: Make<Upstream>): void {
  const test = testOver(make)
  describe(name, () => {
    test('metadata comes as it is, and what is missing is told apart', async ({ upstream }) => {
      const bytes = await upstream.metadata('1.root.json', { bytesMax: 1_000, ...soon() })
      expect(Buffer.from(bytes ?? []).toString()).toBe('{"signed":1}')
      expect(await upstream.metadata('2.root.json', { bytesMax: 1_000, ...soon() })).toBeUndefined()
    })

    test('metadata longer than it may be is refused for good (P15)', async ({ upstream }) => {
      const asked = upstream.metadata('1.root.json', { bytesMax: 11, ...soon() })
      await expect(asked).rejects.toMatchObject({ code: 'refused', transient: false })
    })

    test('tiles come from the root and from every depth, by hash', async ({ upstream }) => {
      for (const { position, hash, text } of TILES) {
        const bytes = await upstream.tile(position, hash, soon())
        expect(Buffer.from(bytes).toString()).toBe(text)
      }
      const nothing = '0'.repeat(64) as Checksum
      await expect(upstream.tile(ROOT, nothing, soon())).rejects.toBeInstanceOf(NotThere)
    })

    test('an index file comes by its hash, whatever lies under its path', async ({ upstream }) => {
      const bytes = await upstream.indexFile(byHash, soon())
      expect(Buffer.from(bytes).toString()).toBe(HULL)
    })

    test('an index file without a name by hash comes by its path', async ({ upstream }) => {
      const bytes = await upstream.indexFile(byPath, soon())
      expect(Buffer.from(bytes).toString()).toBe(FY)
      const asked = upstream.indexFile(nowhere, soon())
      await expect(asked).rejects.toBeInstanceOf(NotThere)
    })

    test('an index file of another length than signed is not taken', async ({ upstream }) => {
      for (const by of [-1, 1]) {
        const lied = { ...byHash, length: byHash.length + by }
        const asked = upstream.indexFile(lied, soon())
        await expect(asked).rejects.toMatchObject({ code: 'incomplete' })
      }
    })

    test('a stop while waiting ends at once, by the reason given', async ({ upstream }) => {
      const reason = new Error('ctrl-c')
      const stop = new AbortController()
      const { signal } = stop
      const asked = [
        upstream.metadata('1.root.json', { bytesMax: 1_000, signal }),
        upstream.tile(ROOT, sha256('tile '), { signal }),
        upstream.indexFile(byHash, { signal }),
      ]
      stop.abort(reason)
      for (const outcome of await Promise.allSettled(asked)) {
        expect(outcome).toEqual({ status: 'rejected', reason })
      }
    })
  })
  artifactContract(name, make)
}

/** The cases that an upstream without a tree runs, too. */
export function artifactContract(
  name: string,
  make: Make<Pick<Upstream, 'name' | 'artifact' | 'pause' | 'close'> | ObservedUpstream>,
): void {
  const test = testOver(make)

  describe(name, () => {
    test('a small artifact comes whole, a large one in chunks', async ({ upstream }) => {
      const body = await upstream.artifact(small, { offset: 0, ...soon() })
      expect(body).toHaveProperty('pieces')
      expect((await collected(body)).equals(small.bytes)).toBe(true)
      const chunked = await upstream.artifact(large, { offset: 0, ...soon() })
      expect(chunked).toHaveProperty('chunks')
      expect((await collected(chunked)).equals(large.bytes)).toBe(true)
    })

    test.for([1, 19_999])('a small artifact is continued from %i', async (offset, { upstream }) => {
      const body = await upstream.artifact(small, { offset, ...soon() })
      expect(body.offset).toBe(offset)
      expect((await collected(body)).equals(small.bytes.subarray(offset))).toBe(true)
    })

    test('of a partial that is whole nothing is left, or it begins again', async ({ upstream }) => {
      const body = await upstream.artifact(small, { offset: 20_000, ...soon() })
      expect([0, 20_000]).toContain(body.offset)
      expect((await collected(body)).equals(small.bytes.subarray(body.offset))).toBe(true)
    })

    test.for([1, 2 * MIB, 2 * MIB + 9])(
      'a large artifact is continued from %i',
      async (offset, { upstream }) => {
        const body = await upstream.artifact(large, { offset, ...soon() })
        expect(body.offset).toBe(offset)
        expect((await collected(body)).equals(large.bytes.subarray(offset))).toBe(true)
      },
    )

    test('a partial longer than the artifact begins again from 0', async ({ upstream }) => {
      const body = await upstream.artifact(small, { offset: 20_001, ...soon() })
      expect(body.offset).toBe(0)
      expect((await collected(body)).equals(small.bytes)).toBe(true)
    })

    test('an artifact that it does not have is not there: a fact, not a failure', async ({
      upstream,
    }) => {
      const asked = upstream.artifact(absent, { offset: 0, ...soon() })
      const error = await asked.catch(error => error)
      expect(error).toBeInstanceOf(NotThere)
      expect(error).toMatchObject({ code: 'incomplete', transient: false, status: 404 })
    })

    test('a reader who leaves in the middle leaves nothing behind', async ({ upstream }) => {
      const body = await upstream.artifact(large, { offset: 0, ...soon() })
      if (!('chunks' in body)) return expect.unreachable('a large body came whole')
      for await (const chunk of body.chunks) if (chunk.length > 0) break
      expect(
        (await collected(await upstream.artifact(small, { offset: 0, ...soon() }))).length,
      ).toBe(small.bytes.length)
    })

    test('a stop ends an artifact before its first byte and in its middle', async ({
      upstream,
    }) => {
      const reason = new Error('ctrl-c')
      const stopped = upstream.artifact(small, { offset: 0, signal: AbortSignal.abort(reason) })
      await expect(stopped).rejects.toBe(reason)
      const stop = new AbortController()
      const body = await upstream.artifact(large, { offset: 0, signal: stop.signal })
      if (!('chunks' in body)) return expect.unreachable('a large body came whole')
      let came = 0
      const reading = (async (): Promise<void> => {
        for await (const chunk of body.chunks) {
          came += chunk.length
          stop.abort(reason)
        }
      })()
      await expect(reading).rejects.toBe(reason)
      expect(came).toBeLessThan(large.bytes.length)
    })

    test('the wait between tries ends with a stop', async ({ upstream }) => {
      await upstream.pause(1, new NotThere('x', 404), soon())
      const reason = new Error('ctrl-c')
      const stopped = upstream.pause(1, new TransferCut('x'), { signal: AbortSignal.abort(reason) })
      await expect(stopped).rejects.toBe(reason)
    })

    test('its name is for messages: where it is, on one line', ({ upstream }) => {
      expect(upstream.name).toMatch(/^(https?:\/\/[^@?#\s]+\/|\/[^\n]+)$/)
    })
  })
}
