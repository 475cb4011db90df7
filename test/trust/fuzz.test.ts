// Ten thousand mutations each of metadata, keys and key files, drafts: each is refused by name or means
// what the original meant, and none takes long. Tiles: test/tree/tile.test.ts.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MirrorError } from '../../src/error.ts'
import { canonicalJson } from '../../src/trust/canonical.ts'
import { readDraft, readSignature } from '../../src/trust/draft.ts'
import { openEnvelope } from '../../src/trust/envelope.ts'
import type { JsonObject } from '../../src/trust/json.ts'
import { readKey } from '../../src/trust/key.ts'
import { keyFile, openKeyFile, readPublicHalf } from '../../src/trust/key-file.ts'
import { TrustedSet } from '../../src/trust/trusted.ts'
import {
  ecdsaSigner,
  key,
  keysOf,
  Repository,
  roleOf,
  rsaSigner,
  type Signer,
  signedFile,
} from './repository.ts'

const RUNS = 10_000
const timeout = 300_000
const CPU_MS_MAX = 100

/** A few bytes in a place are others: what a transfer, a disk or an attacker does. */
const edit = fc.record({
  at: fc.nat(100_000),
  removed: fc.nat(6),
  added: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 4 }),
    fc.constantFrom(
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '0',
      '-',
      'e',
      '1',
      '\u0000',
      '\ufeff',
    ),
    fc.constantFrom(
      '\\u0061',
      '"signed":{}',
      '1.0',
      '-0',
      'null',
      '[[[[',
      '{"a":',
      '__proto__',
      'ff',
    ),
  ),
})

function edited(
  bytes: Uint8Array,
  { at, removed, added }: { at: number; removed: number; added: string },
): Uint8Array {
  const start = at % (bytes.length + 1)
  return Buffer.concat([
    bytes.subarray(0, start),
    Buffer.from(added),
    bytes.subarray(start + removed),
  ])
}

/** Undefined where it is refused; any other throw is a crash. */
function unlessRefused<Read>(read: () => Read): Read | undefined {
  try {
    return quick(read)
  } catch (error) {
    if (error instanceof MirrorError) return undefined
    throw error
  }
}

/** CPU time, and again if it was too much: a collector may have come in between. */
function quick<Read>(read: () => Read): Read {
  for (let tries = 3; ; tries -= 1) {
    const before = process.cpuUsage()
    try {
      return read()
    } finally {
      const { user } = process.cpuUsage(before)
      if (tries === 1) expect(user / 1000).toBeLessThan(CPU_MS_MAX)
      else if (user / 1000 < CPU_MS_MAX) tries = 1
    }
  }
}

/** A repository with all that metadata can have. */
function rich(): Repository {
  const repository = new Repository()
  repository.delegate('targets', 'a', { paths: ['a/*'], terminating: true })
  repository.delegate('targets', 'h', { path_hash_prefixes: ['0', '1f'] })
  repository.list('a/x', 'x', 'a')
  repository.rotate(root => {
    for (const signer of [ecdsaSigner(), rsaSigner()]) root['keys'][signer.keyid] = signer.public
    root['unknown'] = { ключ: ['é', null, true, -1] }
  })
  repository.next()
  return repository
}

test('mutated metadata is refused, or means what it meant', { timeout }, () => {
  const repository = rich()
  const { files } = repository
  const chain = (): TrustedSet => {
    const trusted = new TrustedSet(files['1.root.json'] ?? new Uint8Array(), '1.root.json')
    trusted.updateRoot(files['2.root.json'] ?? new Uint8Array(), '2.root.json')
    trusted.setTimestamp(trusted.readTimestamp(files['timestamp.json'] ?? new Uint8Array(), 't'))
    trusted.setSnapshot(trusted.readSnapshot(files['2.snapshot.json'] ?? new Uint8Array(), 's'))
    return trusted
  }
  const trusted = chain()
  const read: Record<string, (bytes: Uint8Array) => unknown> = {
    '1.root.json': bytes => new TrustedSet(bytes, 'root').root,
    'timestamp.json': bytes => trusted.readTimestamp(bytes, 't'),
    '2.snapshot.json': bytes => trusted.readSnapshot(bytes, 's'),
    '2.targets.json': bytes => trusted.readTargets(bytes, 'targets'),
  }
  let [taken, refused] = [0, 0]
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(read)), edit, (name, change) => {
      const original = files[name] ?? new Uint8Array()
      const bytes = edited(original, change)
      const accepted = unlessRefused(() => read[name]?.(bytes))
      if (accepted === undefined) {
        refused += 1
        return
      }
      taken += 1
      const { canonical } = openEnvelope(bytes, name)
      expect(Buffer.compare(canonical, openEnvelope(original, name).canonical)).toBe(0)
    }),
    { numRuns: RUNS },
  )
  // what is unsigned may change, and white space
  expect(taken).toBeGreaterThan(20)
  expect(refused).toBeGreaterThan(RUNS / 2)
})

test('whatever a good key signs is read or refused, never a crash', { timeout }, () => {
  const part = fc.constantFrom<unknown>(
    ...[undefined, null, true, false, 0, 1, -1, 2 ** 53 - 1, '', 'targets', '1.0.34', '__proto__'],
    ...[
      '2030-01-01T00:00:00Z',
      'ff'.repeat(32),
      '../x',
      'a\u0000b',
      '💎',
      ['*'],
      ['0'],
      [[]],
      [null],
    ],
    ...[
      {},
      [],
      { sha256: 'ff'.repeat(32) },
      { constructor: {} },
      { bit_length: 3, name_prefix: 'b' },
    ],
  )
  const signed = fc.record({
    _type: part,
    spec_version: part,
    version: part,
    expires: part,
    targets: fc.oneof(
      part,
      fc.dictionary(fc.string(), fc.record({ length: part, hashes: part, custom: part })),
    ),
    delegations: fc.oneof(
      part,
      fc.record({
        keys: fc.oneof(part, fc.dictionary(fc.string(), part)),
        roles: fc.oneof(
          part,
          fc.array(
            fc.record({
              name: part,
              keyids: part,
              threshold: part,
              terminating: part,
              paths: part,
              path_hash_prefixes: part,
            }),
          ),
        ),
        succinct_roles: part,
      }),
    ),
  })
  const repository = new Repository()
  // one that is quick to sign with
  const signer = ecdsaSigner()
  repository.rotate(root => {
    root['keys'] = { ...root['keys'], ...keysOf([signer]) }
    root['roles'].targets = roleOf([signer])
  })
  const { files } = repository
  const trusted = new TrustedSet(files['1.root.json'] ?? new Uint8Array(), 'root')
  trusted.updateRoot(files['2.root.json'] ?? new Uint8Array(), 'root')
  trusted.setTimestamp(trusted.readTimestamp(files['timestamp.json'] ?? new Uint8Array(), 't'))
  trusted.setSnapshot(trusted.readSnapshot(files['1.snapshot.json'] ?? new Uint8Array(), 's'))
  const right = {
    _type: 'targets',
    spec_version: '1.0.34',
    version: 1,
    expires: '2030-01-01T00:00:00Z',
    targets: {},
  }
  let taken = 0
  fc.assert(
    fc.property(signed, fc.subarray(Object.keys(right)), (made, kept) => {
      const mixed: Record<string, unknown> = { ...made }
      for (const name of kept) mixed[name] = right[name as keyof typeof right]
      // what has no JSON text, as undefined and fractions in canonical form, is not for us to sign
      const clean = JSON.parse(JSON.stringify(mixed, integersOnly)) as object
      const bytes = signedFile(clean, [signer])
      if (
        unlessRefused(() => trusted.readTargets(bytes, 'targets', { isKept: true })) !== undefined
      )
        taken += 1
    }),
    { numRuns: RUNS },
  )
  expect(taken).toBeGreaterThan(20)
})

function integersOnly(_: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    return Math.trunc(value) % 2 ** 53 || 0
  if (Object.is(value, -0)) return 0
  return typeof value === 'string' && !value.isWellFormed() ? value.toWellFormed() : value
}

test('a mutated key is none, the same one, or one under which the signature is wrong', {
  timeout,
}, () => {
  const message = Buffer.from('what was signed')
  const signers: readonly (Signer & { sig: Uint8Array })[] = [
    key(1),
    ecdsaSigner(),
    rsaSigner(),
  ].map(signer => ({ ...signer, sig: signer.sign(message) }))
  let [same, other, none] = [0, 0, 0]
  fc.assert(
    fc.property(fc.constantFrom(...signers), edit, (signer, change) => {
      const original = readKey(signer.public)
      const text = Buffer.from(edited(canonicalJson(signer.public), change)).toString()
      // in the canonical form line ends stand as they are, which is no JSON
      const object = parsedJson(text.replaceAll('\n', '\\n'))
      const found = object === undefined ? undefined : quick(() => readKey(object))
      if (found === undefined) none += 1
      else if (found.identity === original?.identity) same += 1
      else {
        other += 1
        expect(
          quick(() => verified(() => found.verifies(message, signer.sig, { isKept: false }))),
        ).toBe(false)
      }
    }),
    { numRuns: RUNS },
  )
  expect(none).toBeGreaterThan(RUNS / 10)
  expect(same).toBeGreaterThan(100)
  expect(other).toBeGreaterThan(20)
})

function verified(verify: () => boolean): boolean {
  try {
    return verify()
  } catch {
    return false
  }
}

function parsedJson(text: string): JsonObject | undefined {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null ? (value as JsonObject) : undefined
  } catch {
    return undefined
  }
}

test('mutated key files, halves, drafts and signatures are refused, or the same', {
  timeout,
}, async () => {
  const plain = await keyFile(Buffer.alloc(32, 5), { owner: 'alice' })
  const secret = '05'.repeat(32)
  const { keyid } = readPublicHalf(plain, 'x')
  await fc.assert(
    fc.asyncProperty(edit, async change => {
      const bytes = edited(plain, change)
      const opened = await openKeyFile(bytes, 'a.key', async () => 'words').catch(error => {
        expect(error).toBeInstanceOf(MirrorError)
        expect((error as Error).message).not.toContain(secret.slice(0, 16))
        return undefined
      })
      if (opened !== undefined) expect(opened.keyid).toBe(keyid)
      const half = unlessRefused(() => readPublicHalf(bytes, 'a.key'))
      if (half !== undefined) expect(half.keyid).toBe(keyid)
      unlessRefused(() => readDraft(bytes, 'draft'))
      unlessRefused(() => readSignature(bytes, 'sig'))
    }),
    { numRuns: RUNS },
  )
})
