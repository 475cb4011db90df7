// Our client and tuf-js over the same repositories, right and wrong. Nothing that we take may be
// refused there for a sound reason; what they take and we refuse is listed, each with why.

import { hash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Updater } from 'tuf-js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { Client } from './client.ts'
import {
  alias,
  ecdsaSigner,
  type Files,
  key,
  keysOf,
  Repository,
  roleOf,
  rsaSigner,
  signedFile,
} from './repository.ts'

let server: Server
let files: Files = {}
let base = ''

beforeAll(async () => {
  server = createServer((request, response) => {
    const bytes = files[(request.url ?? '').slice(1)]
    response.writeHead(bytes === undefined ? 404 : 200)
    response.end(bytes)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** What tuf-js says of a first visit and the search for a path: found, absent, or its refusal. */
async function theirs(root: Uint8Array, path: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'crateferry-tufjs-'))
  try {
    writeFileSync(join(folder, 'root.json'), root)
    const updater = new Updater({
      metadataDir: folder,
      metadataBaseUrl: base,
      config: { fetchRetries: 0, fetchTimeout: 5000 },
    })
    await updater.refresh()
    return (await updater.getTargetInfo(path)) === undefined ? 'absent' : 'found'
  } catch (error) {
    return `refused: ${(error as Error).message}`
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function ours(root: Uint8Array, path: string): Promise<string> {
  try {
    const cycle = await new Client(root).follow(files, new Date())
    return (await cycle.find(path)) === undefined ? 'absent' : 'found'
  } catch (error) {
    return `refused: ${(error as Error).message}`
  }
}

const PATH = 'a/b'
const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString()
type Mutation = (repository: Repository) => void

const signed =
  (part: 'timestamp' | 'snapshot' | 'targets', change: object): Mutation =>
  repository => {
    Object.assign(repository[part], change)
    repository.publish()
  }
const rewritten =
  (name: string, edit: (text: string) => string): Mutation =>
  repository => {
    repository.files[name] = Buffer.from(edit(text(repository.files[name])))
  }
const underRoot =
  (change: (root: Repository['root'], repository: Repository) => void): Mutation =>
  repository => {
    repository.rotate(root => change(root, repository))
    repository.publish()
  }
/** What another mutation has broken stays as it is. */
function spaced(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
const one = alias(key(6), { ...key(6).public, note: 'the same key' })
const rsa1024 = rsaSigner(1024)
const ecdsa = ecdsaSigner()

/** Both take these, whatever else is right. */
const RIGHT: Record<string, Mutation> = {
  'as it is': () => {},
  'pretty-printed': repository => {
    for (const name of Object.keys(repository.files)) rewritten(name, spaced)(repository)
  },
  'unknown fields': signed('targets', { note: { a: [1, 'é', null, true] } }),
  'a delegation': repository => {
    repository.delegate('targets', 'r', { paths: ['a/*'] })
    repository.list(PATH, 'x', 'r')
    repository.publish()
  },
  'a chain of delegations': repository => {
    repository.delegate('targets', 'r', { paths: ['a/*'] })
    repository.delegate('r', 's', { paths: ['*/b'], terminating: true })
    repository.list(PATH, 'x', 's')
    repository.publish()
  },
  bins: repository => {
    repository.divide('targets', 'bin', 2)
    repository.list(PATH, 'x', `bin-${Math.floor(Number.parseInt(sha256(PATH)[0] ?? '', 16) / 4)}`)
    repository.publish()
  },
  'hash prefixes': repository => {
    repository.delegate('targets', 'h', { path_hash_prefixes: [sha256(PATH).slice(0, 2)] })
    repository.list(PATH, 'x', 'h')
    repository.publish()
  },
  'another root': underRoot(() => {}),
  'an ecdsa key': underRoot((root, repository) => {
    Object.assign(root['keys'], keysOf([ecdsa]))
    root['roles'].snapshot = roleOf([ecdsa])
    repository.signers['snapshot'] = [ecdsa]
  }),
  'two of three': underRoot((root, repository) => {
    const signers = [key(20), key(21), key(22)]
    Object.assign(root['keys'], keysOf(signers))
    root['roles'].timestamp = roleOf(signers, 2)
    repository.signers['timestamp'] = signers.slice(1)
  }),
  'an unknown key beside the good one': underRoot(root => {
    const odd = { keytype: 'odd', scheme: 'odd', keyval: { public: 'odd' } }
    const signer = alias(key(5), odd)
    Object.assign(root['keys'], keysOf([signer]))
    root['roles'].snapshot = roleOf([key(5), signer])
  }),
  'lengths and hashes': repository => {
    const snapshot = repository.files['1.snapshot.json'] ?? new Uint8Array()
    repository.signTimestamp({
      version: 1,
      length: snapshot.length,
      hashes: { sha256: sha256(snapshot), sha512: hash('sha512', snapshot) },
    })
  },
}

/** Both refuse these. */
const WRONG: Record<string, Mutation> = {
  'no signature': repository => {
    repository.signers['snapshot'] = []
    repository.publish()
  },
  'another key': repository => {
    repository.signers['targets'] = [key(99)]
    repository.publish()
  },
  'another role’s key': repository => {
    repository.signers['timestamp'] = [key(4)]
    repository.publish()
  },
  'one of two': underRoot(root => {
    Object.assign(root['keys'], keysOf([key(30)]))
    root['roles'].targets = roleOf([key(4), key(30)], 2)
  }),
  'a root without the old keys': repository => {
    repository.rotate(
      root => {
        Object.assign(root['keys'], keysOf([key(40)]))
        root['roles'].root = roleOf([key(40)])
      },
      [key(40)],
    )
  },
  'a root of a later version': repository => {
    repository.root['version'] = 3
    repository.files['2.root.json'] = signedFile(repository.root, repository.signers['root'] ?? [])
  },
  'an expired timestamp': signed('timestamp', { expires: '2020-01-01T00:00:00Z' }),
  'expired targets': signed('targets', { expires: '2020-01-01T00:00:00Z' }),
  'another type': signed('snapshot', { _type: 'targets' }),
  'spec_version 2': signed('targets', { spec_version: '2.0.0' }),
  'version as text': signed('snapshot', { version: '1' }),
  'another version than named': repository => {
    repository.snapshot['version'] = 2
    repository.files['1.snapshot.json'] = signedFile(repository.snapshot, [key(5)])
  },
  'a wrong length': repository => repository.signTimestamp({ version: 1, length: 7 }),
  'a wrong hash': repository =>
    repository.signTimestamp({ version: 1, hashes: { sha256: sha256('no') } }),
  'one letter of what is signed': rewritten('1.targets.json', text => text.replace('spec', 'spek')),
  'a cut file': rewritten('timestamp.json', text => text.slice(0, -9)),
  'a missing file': repository => {
    delete repository.files['1.snapshot.json']
  },
  'a key id twice': repository => {
    repository.signers['timestamp'] = [key(6), key(6)]
    repository.publish()
  },
}

/** They take these; why we do not. */
const STRICTER: Record<string, readonly [why: string, Mutation]> = {
  'one key under two ids': [
    'a threshold counts keys, not their spellings',
    underRoot((root, repository) => {
      Object.assign(root['keys'], keysOf([one]))
      root['roles'].timestamp = roleOf([key(6), one], 2)
      repository.signers['timestamp'] = [key(6), one]
    }),
  ],
  'a key id that is no hash': [
    'a key id is the hash of its key (TUF 4.3)',
    underRoot((root, repository) => {
      root['keys'].odd = key(6).public
      root['roles'].timestamp = { keyids: ['odd'], threshold: 1 }
      repository.signers['timestamp'] = [{ ...key(6), keyid: 'odd' }]
    }),
  ],
  'an RSA key of 1,024 bits': [
    'weak keys never count',
    underRoot((root, repository) => {
      Object.assign(root['keys'], keysOf([rsa1024]))
      root['roles'].timestamp = roleOf([rsa1024])
      repository.signers['timestamp'] = [rsa1024]
    }),
  ],
  'a member twice': [
    'a file with two readings',
    rewritten('timestamp.json', text => text.replace('{"sig', '{"signed":{},"sig')),
  ],
  '30 February': ['no such date', signed('timestamp', { expires: '2030-02-30T00:00:00Z' })],
  '24:00:00': ['no such time (TUF 4.2.1)', signed('snapshot', { expires: '2030-01-01T24:00:00Z' })],
  'a date without Z': [
    'not the one form (TUF 4.2.1)',
    signed('targets', { expires: '2030-01-01T00:00:00' }),
  ],
  'text after a signature': [
    'hex and nothing else',
    rewritten('timestamp.json', text => text.replace(/"sig":"([0-9a-f]+)"/, '"sig":"$1 and more"')),
  ],
  'an unknown hash alone': [
    'a target without a hash that counts proves nothing',
    repository => {
      repository.targets['targets'][PATH] = { length: 1, hashes: { md5: '00' } }
      repository.publish()
    },
  ],
  'version 1.0e0': [
    'integers have one spelling',
    rewritten('timestamp.json', text => text.replace('"version":1}', '"version":1.0e0}')),
  ],
}

/** A fresh repository that lists the path at top level. */
function fresh(): Repository {
  const repository = new Repository()
  repository.list(PATH, 'x')
  repository.publish()
  return repository
}

async function both(mutations: readonly Mutation[]): Promise<{ ours: string; theirs: string }> {
  const repository = fresh()
  for (const mutate of mutations) mutate(repository)
  files = repository.files
  return {
    ours: await ours(repository.firstRoot, PATH),
    theirs: await theirs(repository.firstRoot, PATH),
  }
}

const refused = expect.stringMatching(/^refused: /)

test.each(Object.entries(RIGHT))('both take: %s', async (_, mutate) => {
  expect(await both([mutate])).toEqual({ ours: 'found', theirs: 'found' })
})

test.each(Object.entries(WRONG))('both refuse: %s', async (_, mutate) => {
  expect(await both([mutate])).toEqual({ ours: refused, theirs: refused })
})

test.each(Object.entries(STRICTER))('they take, and we refuse: %s', async (_, [, mutate]) => {
  expect(await both([mutate])).toEqual({ ours: refused, theirs: 'found' })
})

test('whatever is put together of these, nothing that we take is refused there', {
  timeout: 300_000,
}, async () => {
  const all = {
    ...RIGHT,
    ...WRONG,
    ...Object.fromEntries(Object.entries(STRICTER).map(([name, [, mutate]]) => [name, mutate])),
  }
  const some = (of: object): fc.Arbitrary<string[]> =>
    fc.array(fc.constantFrom(...Object.keys(of)), { minLength: 2, maxLength: 4 })
  // half of them of nothing wrong, so that many are taken whatever chance does
  const names = fc.oneof(some(all), some(RIGHT))
  let taken = 0
  await fc.assert(
    fc.asyncProperty(names, async chosen => {
      const outcome = await both(chosen.map(name => all[name] as Mutation))
      if (outcome.ours.startsWith('refused')) return
      taken += 1
      expect(outcome.theirs).toBe(outcome.ours)
    }),
    { numRuns: 200 },
  )
  expect(taken).toBeGreaterThan(20)
})
