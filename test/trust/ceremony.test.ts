// Five of nine people found a root, lose a key, have keys stolen, let it expire: each way out as
// docs/trust.md has it, seen by a client that follows.
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import type { KeptChain } from '../../src/trust/chain-io.ts'
import {
  type Draft,
  type DraftSignature,
  draftBytes,
  envelopeOf,
  readDraft,
  readSignature,
  signatureBytes,
  signedDigest,
} from '../../src/trust/draft.ts'
import { openEnvelope } from '../../src/trust/envelope.ts'
import { parseInstant } from '../../src/trust/instant.ts'
import { signingKey } from '../../src/trust/key-file.ts'
import { rootChange } from '../../src/trust/root-change.ts'
import { merged, requireSignable, rootStep } from '../../src/trust/root-step.ts'
import { type RootText, rootSigned } from '../../src/trust/root-text.ts'
import { signTree } from '../../src/trust/sign.ts'
import { Client, later, NOW } from './client.ts'
import { type Files, signedFile } from './repository.ts'

const key = (n: number): ReturnType<typeof signingKey> => signingKey(Buffer.alloc(32, n))
const PEOPLE = Array.from({ length: 9 }, (_, n) => key(n + 1))
const ONLINE = { targets: key(101), snapshot: key(102), timestamp: key(103) }
const until = (text: string): RootText['expires'] => {
  const instant = parseInstant(text)
  if (instant === undefined) throw new Error(text)
  return instant
}
const FIRST: RootText = {
  version: 1,
  expires: until('2027-11-26T00:00:00Z'),
  roles: {
    root: { keys: PEOPLE, threshold: 5 },
    targets: { keys: [ONLINE.targets], threshold: 1 },
    snapshot: { keys: [ONLINE.snapshot], threshold: 1 },
    timestamp: { keys: [ONLINE.timestamp], threshold: 1 },
  },
}

type Person = (typeof PEOPLE)[number]

/** The draft as it arrives: each step reads what the step before wrote. */
function drafted(text: RootText, before?: Uint8Array): Draft {
  const old = before && openEnvelope(before, 'before').signed
  const draft = {
    version: text.version,
    before: old && { version: text.version - 1, digest: signedDigest(old) },
    signed: rootSigned(text, old),
    owners: new Map(),
  }
  return readDraft(draftBytes(draft), 'draft')
}

function signatureOf(draft: Draft, by: Person, n = 0): DraftSignature & { readonly file: string } {
  const sig = by.sign(envelopeOf(draft, 'draft').canonical).toHex()
  const digest = signedDigest(draft.signed)
  const bytes = signatureBytes({ version: draft.version, digest, keyid: by.keyid, sig })
  return { ...readSignature(bytes, `${n}.sig.json`), file: `${n}.sig.json` }
}

function merge(
  draft: Draft,
  before: Uint8Array | undefined,
  people: readonly Person[],
): ReturnType<typeof merged> {
  const step = rootStep(draft, 'draft', before && { bytes: before, file: 'before' })
  requireSignable(step, { now: NOW, acceptSingle: false })
  return merged(
    step,
    people.map((one, n) => signatureOf(draft, one, n)),
  )
}

function founded(): Uint8Array {
  const { bytes, isWhole } = merge(drafted(FIRST), undefined, PEOPLE.slice(4))
  expect(isWhole).toBe(true)
  return bytes
}

/** What a site publishes under these roots. */
async function published(
  roots: readonly Uint8Array[],
  keys: typeof ONLINE,
  { now = NOW, before = {} }: { now?: Date; before?: Partial<KeptChain> } = {},
): Promise<{ files: Files; kept: Partial<KeptChain> }> {
  const root = roots.at(-1) ?? new Uint8Array()
  const statement = { tree: sha256('tree'), length: 4, entries: 1 }
  const kept: Record<string, Uint8Array> = {}
  for (const [name, bytes] of Object.entries(before)) kept[name] = bytes as Uint8Array
  const made = await signTree({ ...before, root, roots }, statement, { root: [], ...keys }, { now })
  for (const { file, bytes } of made.files) kept[file.replace('.json', '')] = bytes
  const files: Files = {}
  for (const [n, bytes] of roots.entries()) files[`${n + 1}.root.json`] = bytes
  for (const role of ['targets', 'snapshot', 'timestamp'] as const) {
    const name = role === 'timestamp' ? 'timestamp.json' : `${made.versions[role]}.${role}.json`
    files[name] = kept[role] ?? new Uint8Array()
  }
  return { files, kept }
}

describe('five of nine', () => {
  test('found a root in any order, and a site signs under it', async () => {
    const draft = drafted(FIRST)
    const one = merge(draft, undefined, PEOPLE.slice(4))
    const other = merge(draft, undefined, [...PEOPLE.slice(4), ...PEOPLE.slice(4)].reverse())
    expect(one).toMatchObject({ isWhole: true, old: undefined, new: { have: 5, need: 5 } })
    expect(Buffer.compare(one.bytes, other.bytes), 'the same file, whatever the order').toBe(0)
    expect(merge(draft, undefined, PEOPLE.slice(5))).toMatchObject({
      isWhole: false,
      new: { have: 4 },
    })
    const { files } = await published([one.bytes], ONLINE)
    expect(await new Client(one.bytes).exit(files)).toBe(0)
  })

  test('a member lost a key: the others take another in its place', async () => {
    const first = founded()
    const text = {
      ...FIRST,
      version: 2,
      roles: { ...FIRST.roles, root: { keys: [...PEOPLE.slice(1), key(10)], threshold: 5 } },
    }
    const draft = drafted(text, first)
    const short = merge(draft, first, PEOPLE.slice(5))
    expect(short).toMatchObject({ isWhole: false, old: { have: 4, need: 5 }, new: { have: 4 } })
    const onlyNew = merge(draft, first, [...PEOPLE.slice(5), key(10)])
    expect(onlyNew).toMatchObject({ isWhole: false, old: { have: 4 }, new: { have: 5 } })
    const second = merge(draft, first, PEOPLE.slice(4))
    expect(second).toMatchObject({ isWhole: true, old: { have: 5 }, new: { have: 5 } })
    const { files } = await published([first, second.bytes], ONLINE)
    const client = new Client(first)
    expect(await client.exit(files)).toBe(0)
    expect(client.kept['root_history/2.root.json']).toEqual(second.bytes)
  })

  test('four keys and the timestamp key are stolen: what the thief signs ends, also what he pushed up', async () => {
    const first = founded()
    const client = new Client(first)
    const honest = await published([first], ONLINE)
    expect(await client.exit(honest.files)).toBe(0)
    const stolen = PEOPLE.slice(0, 4)
    const thief = {
      ...FIRST,
      version: 2,
      roles: { ...FIRST.roles, root: { keys: stolen, threshold: 2 } },
    }
    const attempt = merge(drafted(thief, first), first, stolen)
    expect(attempt).toMatchObject({
      isWhole: false,
      old: { have: 4, need: 5 },
      new: { have: 4, need: 2 },
    })
    expect(await client.exit({ ...honest.files, '2.root.json': attempt.bytes })).toBe(11)

    const { signed } = JSON.parse(Buffer.from(honest.files['timestamp.json'] ?? []).toString()) as {
      signed: object
    }
    const pushed = signedFile({ ...signed, version: 1_000_000 }, [ONLINE.timestamp])
    expect(await client.exit({ ...honest.files, 'timestamp.json': pushed })).toBe(0)
    expect(await client.exit(honest.files), 'pushed up').toBe(13)
    const keys = { ...ONLINE, timestamp: key(203) }
    const text = {
      ...FIRST,
      version: 2,
      roles: {
        ...FIRST.roles,
        root: { keys: [...PEOPLE.slice(4), key(11), key(12), key(13), key(14)], threshold: 5 },
        timestamp: { keys: [keys.timestamp], threshold: 1 },
      },
    }
    const second = merge(drafted(text, first), first, PEOPLE.slice(4))
    expect(second.isWhole).toBe(true)
    const after = await published([first, second.bytes], keys, { before: honest.kept })
    expect(await client.exit(after.files)).toBe(0)
    const old = {
      ...after.files,
      'timestamp.json': honest.files['timestamp.json'] ?? new Uint8Array(),
    }
    expect(await client.exit(old), 'the stolen timestamp key signs no more').toBe(11)
  })

  test('a root that expired is followed by the next one, signed by its own keys', async () => {
    const first = founded()
    const client = new Client(first)
    const honest = await published([first], ONLINE)
    expect(await client.exit(honest.files)).toBe(0)
    const late = later(24 * 366)
    const { files } = await published([first], ONLINE, { now: late, before: honest.kept })
    expect(await client.exit(files, { now: late })).toBe(12)
    const text = { ...FIRST, version: 2, expires: until('2028-11-26T00:00:00Z') }
    const second = merge(drafted(text, first), first, PEOPLE.slice(4))
    const after = await published([first, second.bytes], ONLINE, { now: late, before: honest.kept })
    expect(await client.exit(after.files, { now: late })).toBe(0)
  })

  test('a higher threshold needs the old one and the new one; lowering it the old one', () => {
    const first = founded()
    const raised = {
      ...FIRST,
      version: 2,
      roles: { ...FIRST.roles, root: { keys: PEOPLE, threshold: 7 } },
    }
    const draft = drafted(raised, first)
    expect(merge(draft, first, PEOPLE.slice(4)).isWhole).toBe(false)
    const second = merge(draft, first, PEOPLE.slice(2))
    expect(second.isWhole).toBe(true)
    const lowered = { ...FIRST, version: 3 }
    expect(merge(drafted(lowered, second.bytes), second.bytes, PEOPLE.slice(4)).isWhole).toBe(false)
    expect(merge(drafted(lowered, second.bytes), second.bytes, PEOPLE.slice(2)).isWhole).toBe(true)
  })
})

test('what this version knows nothing of is kept, and told where it changes', () => {
  const first = founded()
  const { signed } = openEnvelope(first, 'first')
  const mirrors = { keyids: [key(50).keyid], threshold: 1 }
  const roles = { ...(signed['roles'] as object), mirrors }
  const keys = { ...(signed['keys'] as object), [key(50).keyid]: key(50).public }
  const before = { ...signed, roles, keys, note: 'kept' } as typeof signed
  const next = rootSigned({ ...FIRST, version: 2 }, before)
  expect(next).toMatchObject({ note: 'kept', roles: { mirrors }, keys: { [key(50).keyid]: {} } })
  const draft = { version: 2, before: undefined, signed: next, owners: new Map() }
  const step = rootStep(
    { ...draft, version: 1, signed: { ...next, version: 1 } },
    'draft',
    undefined,
  )
  expect(rootChange(step, before).otherMembers).toEqual([])
  expect(rootChange(step, signed).otherMembers).toEqual(['note', 'role mirrors'])
})

describe('48: what no step takes', () => {
  const first = founded()
  const draft = drafted({ ...FIRST, version: 2 }, first)
  const given = { bytes: first, file: 'before' }

  test('a draft that was altered between two signers', () => {
    const altered = drafted({ ...FIRST, version: 2, expires: until('2027-11-27T00:00:00Z') }, first)
    const step = rootStep(draft, 'draft', given)
    expect(() => merged(step, [signatureOf(altered, key(1))])).toThrow(
      /signs version 2 with digest/,
    )
    const forged = { ...signatureOf(altered, key(1)), digest: signedDigest(draft.signed) }
    expect(() => merged(step, [forged])).toThrow(/does not verify/)
  })

  test('a signature for another version, or by a key in neither root', () => {
    const step = rootStep(draft, 'draft', given)
    expect(() => merged(step, [{ ...signatureOf(draft, key(1)), version: 3 }])).toThrow(/version 3/)
    expect(() => merged(step, [signatureOf(draft, key(77))])).toThrow(/no root key of root 1 or 2/)
    expect(() => merged(step, [signatureOf(draft, ONLINE.targets)])).toThrow(/no root key/)
  })

  test('another root before it, another version, none', () => {
    const other = merge(
      drafted({ ...FIRST, expires: until('2027-01-01T00:00:00Z') }),
      undefined,
      PEOPLE,
    ).bytes
    expect(() => rootStep(draft, 'draft', { bytes: other, file: 'other' })).toThrow(
      /follows a root with digest/,
    )
    expect(() => rootStep(drafted({ ...FIRST, version: 3 }, first), 'draft', given)).toThrow(
      /version/,
    )
    expect(() => rootStep({ ...draft, version: 3 }, 'draft', given)).toThrow(/says version 3/)
    expect(() => rootStep(draft, 'draft', undefined)).toThrow(/--prev/)
    expect(() => rootStep(drafted(FIRST), 'draft', given)).toThrow(/follows no other/)
    const unsigned = Buffer.from(first.toString().replace(/"sig":"....../g, '"sig":"000000'))
    expect(() => rootStep(draft, 'draft', { bytes: unsigned, file: 'x' })).toThrow()
  })

  test('one key under two ids, a threshold nobody reaches or one alone does, a date past or far', () => {
    const check = (change: Partial<RootText>): (() => void) => {
      const step = rootStep(drafted({ ...FIRST, version: 2, ...change }, first), 'draft', given)
      return () => requireSignable(step, { now: NOW, acceptSingle: false })
    }
    const roles = (root: RootText['roles']['root']): Partial<RootText> => ({
      roles: { ...FIRST.roles, root },
    })
    const object = { ...key(1).public, note: 'another id' }
    const keyid = sha256(JSON.stringify(sorted(object)))
    expect(check(roles({ keys: [...PEOPLE, { keyid, public: object }], threshold: 5 }))).toThrow(
      /two key ids/,
    )
    expect(check(roles({ keys: PEOPLE, threshold: 10 }))).toThrow(/needs 10 of 9/)
    expect(check(roles({ keys: PEOPLE, threshold: 1 }))).toThrow(/one key alone/)
    expect(check({ expires: until('2026-11-26T12:00:00Z') })).toThrow(/past/)
    expect(check({ expires: until('2029-01-01T00:00:00Z') })).toThrow(/two years/)
    expect(check({})).not.toThrow()
  })

  test('a file of another form', () => {
    const text = Buffer.from(draftBytes(draft)).toString()
    for (const bad of [
      text.replace('draft-1', 'draft-2'),
      text.slice(1),
      text.replace('"version":2', '"version":2.0'),
      '[]',
    ]) {
      expect(() => readDraft(Buffer.from(bad), 'draft')).toThrow(/draft/)
    }
    expect(() => readSignature(Buffer.from('{}'), 'sig')).toThrow(/sig: format nothing/)
  })
})

function sorted(object: object): object {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)))
}
