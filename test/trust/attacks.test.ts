// The attacks of docs/trust.md, by their numbers there: each with the exit code it must end with.
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { LIMITS } from '../../src/trust/limits.ts'
import { Client, later, NOW } from './client.ts'
import {
  alias,
  ecdsaSigner,
  type Files,
  key,
  keysOf,
  pemSigner,
  Repository,
  roleOf,
  rsaSigner,
  type Signer,
  signedFile,
} from './repository.ts'

/** A client that has followed the repository once. */
async function followed(repository: Repository): Promise<Client> {
  const client = new Client(repository.firstRoot)
  expect(await client.exit(repository.files)).toBe(0)
  return client
}

async function made(): Promise<{ repository: Repository; client: Client }> {
  const repository = new Repository()
  return { repository, client: await followed(repository) }
}

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString()

/** What a timestamp with other bytes ends with; `edit` works on its text. */
async function exitOfTimestamp(edit: (text: string) => string | Uint8Array): Promise<number> {
  const { repository, client } = await made()
  repository.next()
  const bytes = Buffer.from(edit(text(repository.files['timestamp.json'])))
  return await client.exit({ ...repository.files, 'timestamp.json': bytes })
}

/** What a timestamp whose signed part has this instead ends with, signed as it should be. */
async function exitOfSigned(change: object): Promise<number> {
  const { repository, client } = await made()
  Object.assign(repository.timestamp, { version: 2, ...change })
  const bytes = signedFile(repository.timestamp, [key(6)])
  return await client.exit({ ...repository.files, 'timestamp.json': bytes })
}

/** What a first visit ends with when the timestamp's key is this one. */
async function exitUnderKey(signer: Signer, keyid = signer.keyid): Promise<number> {
  const repository = new Repository()
  repository.rotate(root => {
    root['keys'][keyid] = signer.public
    root['roles'].timestamp = { keyids: [keyid], threshold: 1 }
  })
  repository.signers['timestamp'] = [{ ...signer, keyid, sign: bytes => signer.sign(bytes) }]
  repository.publish()
  return await new Client(repository.firstRoot).exit(repository.files)
}

describe('what is old', () => {
  test('1, 2: a freeze, and a freeze of root, which asks for nothing more', async () => {
    const { repository, client } = await made()
    repository.timestamp['expires'] = '2026-11-27T00:00:00Z'
    repository.timestamp['version'] += 1
    repository.publish()
    expect(await client.exit(repository.files)).toBe(0)
    expect(await client.exit(repository.files, { now: later(12) })).toBe(12)

    const ending = new Repository()
    ending.rotate(root => {
      root['expires'] = '2026-11-26T12:00:00Z'
    })
    const other = new Client(ending.firstRoot)
    expect(await other.exit(ending.files)).toBe(12)
    expect(other.asked).toEqual(['2.root.json', '3.root.json'])
    ending.rotate(root => {
      root['expires'] = '2030-01-01T00:00:00Z'
    })
    expect(await other.exit(ending.files), 'an expired root is replaced').toBe(0)
  })

  test('3: a clock that ran back', async () => {
    const { repository, client } = await made()
    expect(await client.exit(repository.files, { now: later(3) })).toBe(0)
    expect(await client.exit(repository.files, { now: NOW })).toBe(15)
  })

  test('4: timestamp, snapshot, a role go back; a role is no longer listed', async () => {
    const old = { ...new Repository().files }
    const { repository, client } = await made()
    repository.next()
    repository.next()
    expect(await client.exit(repository.files)).toBe(0)
    expect(await client.exit(old)).toBe(13)
    repository.timestamp['version'] += 1
    repository.signTimestamp({ version: 1 })
    expect(await client.exit(repository.files), 'an older snapshot').toBe(13)

    const shrinking = new Repository()
    shrinking.delegate('targets', 'a')
    shrinking.next()
    const other = await followed(shrinking)
    shrinking.targets['version'] = 1
    shrinking.snapshot['version'] += 1
    shrinking.timestamp['version'] += 1
    shrinking.publish()
    expect(await other.exit(shrinking.files), 'older targets').toBe(13)
    shrinking.targets['version'] = 2
    delete shrinking.delegated['a']
    shrinking.publish()
    expect(await other.exit(shrinking.files), 'role a is gone').toBe(13)
  })

  test('6: an equal version with other content: timestamp kept, snapshot and roles refused', async () => {
    const { repository, client } = await made()
    const first = client.kept['timestamp.json']
    repository.timestamp['note'] = 'other'
    repository.publish()
    expect(await client.exit(repository.files)).toBe(0)
    expect(client.kept['timestamp.json']).toBe(first)
    repository.timestamp['version'] += 1
    repository.snapshot['note'] = 'other'
    repository.publish()
    const hashes = { sha256: sha256(repository.files['1.snapshot.json'] ?? '') }
    repository.signTimestamp({ version: 1, hashes })
    expect(await client.exit(repository.files)).toBe(14)
    expect(client.accused).toEqual([['snapshot.json', 2]])

    const delegating = new Repository()
    delegating.delegate('targets', 'a')
    delegating.list('x', 'x', 'a')
    delegating.next()
    const other = await followed(delegating)
    expect(await other.exit(delegating.files, { path: 'x' })).toBe(0)
    const a = delegating.delegated['a'] ?? {}
    a['note'] = 'other'
    for (const part of [delegating.snapshot, delegating.timestamp]) part['version'] += 1
    delegating.snapshot['extraMeta'] = {
      'a.json': { version: 2, hashes: { sha256: sha256(signedFile(a, [key(7)])) } },
    }
    delegating.publish()
    expect(await other.exit(delegating.files, { path: 'x' }), 'a delegated role').toBe(14)
  })

  test('7, 8: after a rotation, whole or in part, lower versions are taken', async () => {
    const repository = new Repository()
    repository.rotate(root => {
      root['keys'] = { ...root['keys'], ...keysOf([key(8)]) }
      root['roles'].timestamp = roleOf([key(6), key(8)])
    })
    repository.timestamp['version'] = Number.MAX_SAFE_INTEGER
    repository.signers['timestamp'] = [key(6), key(8)]
    repository.publish()
    const client = await followed(repository)
    repository.timestamp['version'] = 2
    repository.publish()
    expect(await client.exit(repository.files)).toBe(13)
    repository.rotate(root => {
      root['keys'] = { ...root['keys'], ...keysOf([key(9)]) }
      root['roles'].timestamp = roleOf([key(8), key(9)])
    })
    expect(await client.exit(repository.files), 'one of two keys went').toBe(0)
    expect(text(client.kept['book.json'])).toContain('"dropped":[{"root":3')
  })

  test('23: an expired snapshot, targets, delegated role', async () => {
    for (const part of ['snapshot', 'targets'] as const) {
      const { repository, client } = await made()
      repository[part]['expires'] = '2026-11-26T11:59:59Z'
      repository.next()
      expect(await client.exit(repository.files), part).toBe(12)
    }
    const { repository, client } = await made()
    repository.divide('targets', 'bin', 1)
    for (const bin of Object.values(repository.delegated)) bin['expires'] = '2020-01-01T00:00:00Z'
    repository.next()
    expect(await client.exit(repository.files, { path: 'x' }), 'a bin').toBe(12)
  })
})

describe('who signs', () => {
  test('10: a role of another snapshot, or with another hash', async () => {
    const { repository, client } = await made()
    repository.next()
    const mixed = {
      ...repository.files,
      '2.targets.json': repository.files['1.targets.json'] ?? [],
    }
    expect(await client.exit(mixed as Files)).toBe(11)
    repository.timestamp['version'] += 1
    repository.signTimestamp({ version: 2, hashes: { sha256: sha256('else') } })
    expect(await client.exit(repository.files)).toBe(11)
    repository.timestamp['version'] += 1
    repository.signTimestamp({ version: 2, length: 9 })
    expect(await client.exit(repository.files)).toBe(11)
  })

  test('11, 12, 13: no key, a wrong one, that of another role, too few, one twice', async () => {
    const by = async (signers: readonly Signer[]): Promise<number> => {
      const { repository, client } = await made()
      repository.signers['timestamp'] = signers
      repository.next()
      return await client.exit(repository.files)
    }
    expect(await by([])).toBe(11)
    expect(await by([key(99)])).toBe(11)
    expect(await by([key(5)])).toBe(11)
    expect(await by([key(6), key(6)]), 'a key id twice').toBe(11)
    expect(await by([key(99), key(6)]), 'a bad one among enough').toBe(0)

    const { repository, client } = await made()
    repository.rotate(root => {
      root['keys'] = { ...root['keys'], ...keysOf([key(8)]) }
      root['roles'].snapshot = roleOf([key(5), key(8)], 2)
    })
    repository.next()
    expect(await client.exit(repository.files), '1 of 2').toBe(11)
    const twice = new Repository()
    twice.rotate(root => {
      root['roles'].timestamp = { keyids: [key(6).keyid, key(6).keyid], threshold: 2 }
    })
    expect(await new Client(twice.firstRoot).exit(twice.files), 'twice in a role').toBe(11)
  })

  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const plain = pemSigner(privateKey, 'ecdsa', 'ecdsa-sha2-nistp256')
  const pem = (plain.public['keyval'] as { public: string }).public
  const otherPem = (text: string): Signer =>
    alias(plain, { ...plain.public, keyval: { public: text } })
  const aliases: readonly (readonly [name: string, one: Signer, two: Signer])[] = [
    ['one more field', key(5), alias(key(5), { ...key(5).public, note: 'mine' })],
    ['upper-case hex', key(5), alias(key(5), upperCase(key(5)))],
    ['other line ends', plain, otherPem(pem.replaceAll('\n', '\r\n'))],
    ['a compressed point', plain, otherPem(compressed(pem))],
    [
      'the old name of the type',
      plain,
      alias(plain, { ...plain.public, keytype: 'ecdsa-sha2-nistp256' }),
    ],
  ]
  test.each(aliases)('14, 15: one key under two key ids counts once: %s', async (_, one, two) => {
    const repository = new Repository()
    repository.rotate(root => {
      root['keys'] = { ...root['keys'], ...keysOf([one, two]) }
      root['roles'].snapshot = roleOf([one, two], 2)
    })
    repository.signers['snapshot'] = [one, two]
    repository.publish()
    expect(await new Client(repository.firstRoot).exit(repository.files)).toBe(11)
    repository.rotate(root => {
      root['roles'].snapshot = roleOf([one, two], 1)
    })
    expect(await new Client(repository.firstRoot).exit(repository.files), 'each is good').toBe(0)

    const delegating = new Repository()
    delegating.delegate('targets', 'a', { threshold: 2 }, [one, two])
    delegating.list('x', 'x', 'a')
    delegating.next()
    const client = await followed(delegating)
    expect(await client.exit(delegating.files, { path: 'x' }), 'a delegated role').toBe(11)
  })

  test('16: a key id that is not the hash of its key', async () => {
    expect(await exitUnderKey(key(6), sha256('another'))).toBe(11)
  })

  test('17, 18: a root without the old threshold, without the new, of another version', async () => {
    const root = async (
      signers: readonly Signer[],
      change: (root: Repository['root']) => void = () => {},
    ): Promise<number> => {
      const { repository, client } = await made()
      repository.rotate(change, signers)
      return await client.exit({
        ...repository.files,
        '2.root.json':
          repository.files[`${repository.root['version']}.root.json`] ?? new Uint8Array(),
      })
    }
    const replaced = (root: Repository['root']): void => {
      root['keys'] = { ...root['keys'], ...keysOf([key(8), key(9)]) }
      root['roles'].root = roleOf([key(1), key(8), key(9)], 2)
    }
    expect(await root([key(1), key(2)])).toBe(0)
    expect(await root([key(1)])).toBe(11)
    expect(await root([key(8), key(9)], replaced), 'only the new').toBe(11)
    expect(await root([key(1), key(2)], replaced), 'only the old').toBe(11)
    expect(await root([key(1), key(2), key(8)], replaced)).toBe(0)
    const version =
      (n: number) =>
      (root: Repository['root']): void => {
        root['version'] = n
      }
    expect(await root([key(1), key(2)], version(3))).toBe(11)
    expect(await root([key(1), key(2)], version(1))).toBe(11)
  })

  test('19: an endless chain of roots stops, and goes on in the next cycle', {
    timeout: 120_000,
  }, async () => {
    const repository = new Repository()
    // keys that are quick to verify
    const quick = [ecdsaSigner(), ecdsaSigner()]
    repository.rotate(
      root => {
        root['keys'] = { ...root['keys'], ...keysOf(quick) }
        root['roles'].root = roleOf(quick, 2)
      },
      [key(1), key(2), ...quick],
    )
    for (let n = 0; n < LIMITS.rootsPerCycle + 2; n += 1) repository.rotate(() => {}, quick)
    const client = new Client(repository.firstRoot)
    expect((await client.follow(repository.files)).warnings).toHaveLength(1)
    expect(client.asked).toHaveLength(LIMITS.rootsPerCycle + 3)
    expect((await client.follow(repository.files)).warnings).toHaveLength(0)
  })

  test('40, 41: unknown and weak keys never count', async () => {
    const strange = alias(key(6), { keytype: 'sphincs', scheme: 'x', keyval: { public: '00' } })
    expect(await exitUnderKey(strange)).toBe(11)
    expect(await exitUnderKey(rsaSigner(1024)), 'RSA 1024').toBe(11)
    expect(await exitUnderKey(rsaSigner()), 'RSA 2048').toBe(0)
    expect(await exitUnderKey(ecdsaSigner())).toBe(0)
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
    expect(await exitUnderKey(pemSigner(privateKey, 'ecdsa', 'ecdsa-sha2-nistp256')), 'P-384').toBe(
      11,
    )
    const identity = alias(
      { ...key(6), sign: () => Buffer.from(`01${'00'.repeat(63)}`, 'hex') },
      { ...key(6).public, keyval: { public: `01${'00'.repeat(31)}` } },
    )
    expect(await exitUnderKey(identity), 'a key of small order').toBe(11)
    const malleable = { ...key(6), sign: (bytes: Uint8Array) => plusOrder(key(6).sign(bytes)) }
    expect(await exitUnderKey(malleable), 'S + L').toBe(11)

    const { repository, client } = await made()
    repository.rotate(root => {
      root['keys'] = { ...root['keys'], ...keysOf([strange]) }
      root['roles'].timestamp = roleOf([key(6), strange])
    })
    repository.next()
    expect(await client.exit(repository.files), 'unknown among good ones').toBe(0)
  })

  test('42: signatures of another form do not count, upper case does', async () => {
    const sig = (edit: (hex: string) => string): Promise<number> =>
      exitOfTimestamp(text =>
        text.replace(/"sig":"([0-9a-f]+)"/, (_, hex: string) => `"sig":"${edit(hex)}"`),
      )
    expect(await sig(hex => hex.toUpperCase())).toBe(0)
    expect(await sig(() => '')).toBe(11)
    expect(await sig(hex => hex.slice(1))).toBe(11)
    expect(await sig(hex => `${hex} and more`)).toBe(11)
    expect(await sig(hex => `${hex}00`)).toBe(11)
  })

  test('45: a file of another type', async () => {
    expect(await exitOfSigned({ _type: 'snapshot' })).toBe(11)
  })
})

describe('how it is written', () => {
  test.each(['9007199254740992', '1.0e0', '1e2', '-0', '02', '2.0'])(
    '9: version %s',
    async version => {
      // signed over what a lax parser would make of it
      expect(
        await exitOfTimestamp(text => text.replace(/"version":2}/, `"version":${version}}`)),
      ).toBe(16)
    },
  )

  test.each([0, -1, '2', null, true, [2]])('9: version %s, signed', async version => {
    expect(await exitOfSigned({ version })).toBe(16)
  })

  test.each([
    'garbage',
    '2030-01-01T00:00:00',
    '2030-01-01T00:00:00+02:00',
    '2030-02-30T00:00:00Z',
    '2030-01-01T24:00:00Z',
    '99999-01-01T00:00:00Z',
    '+02030-01-01T00:00:00Z',
    '2030-01-01T00:00:00.5Z',
    7,
  ])('24: expires %s', async expires => {
    expect(await exitOfSigned({ expires })).toBe(16)
  })

  test('25: no body, HTML, a byte order mark, NUL, a cut one', async () => {
    for (const edit of [
      () => '',
      () => '<!doctype html><title>Log in</title>',
      (text: string) => `\ufeff${text}`,
      (text: string) => `${text}\0`,
      (text: string) => text.slice(0, -1),
      (text: string) => `${text.slice(0, 200)}${' '.repeat(text.length - 200)}`,
    ]) {
      expect(await exitOfTimestamp(edit)).toBe(16)
    }
    const { repository, client } = await made()
    const html = { ...repository.files, 'timestamp.json': Buffer.from('<html>Log in') }
    await expect(client.follow(html)).rejects.toThrow(/timestamp\.json: .*"<html>Log in"/)
  })

  test('26, 28, 29: what has two readings, or is nested deep', async () => {
    const inserted =
      (bytes: string | Uint8Array) =>
      (text: string): Uint8Array =>
        Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from(bytes), Buffer.from('}')])
    expect(await exitOfTimestamp(inserted(Buffer.from(',"a":"\xff"', 'latin1')))).toBe(16)
    expect(await exitOfTimestamp(inserted(',"a":"\\ud800"'))).toBe(16)
    expect(await exitOfTimestamp(inserted(',"signed":{}'))).toBe(16)
    expect(await exitOfTimestamp(inserted(',"\\u0073igned":{}'))).toBe(16)
    expect(
      await exitOfTimestamp(text => text.replace('"version":2', '"version":2,"version":2')),
    ).toBe(16)
    for (const depth of [65, 4000, 1_000_000]) {
      expect(await exitOfTimestamp(inserted(`,"a":${'['.repeat(depth)}${']'.repeat(depth)}`))).toBe(
        16,
      )
    }
    expect(await exitOfTimestamp(inserted(',"a":[[[[]]]]')), 'unsigned and unused').toBe(0)
  })

  test('27: what is valid and not canonical counts by its canonical form', async () => {
    const spaced = (text: string): string => JSON.stringify(JSON.parse(text), null, 2)
    expect(await exitOfTimestamp(spaced)).toBe(0)
    expect(await exitOfTimestamp(text => text.replace('"timestamp"', '"\\u0074imestamp"'))).toBe(0)
    const reversed = (text: string): string => {
      const { signed, signatures } = JSON.parse(text) as { signed: object; signatures: object }
      return JSON.stringify({
        signed: Object.fromEntries(Object.entries(signed).reverse()),
        signatures,
      })
    }
    expect(await exitOfTimestamp(reversed)).toBe(0)
  })

  test('30: names that JavaScript gives a meaning are plain names', async () => {
    const before = Object.getOwnPropertyNames(Object.prototype)
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '1']) {
      const { repository, client } = await made()
      expect(await client.find(repository.files, name), name).toBeUndefined()
      repository.delegate('targets', name)
      repository.next()
      const tree = `{"length":3,"hashes":{"sha256":"${sha256('one')}"}}`
      const signed = JSON.parse(`{"targets":{${JSON.stringify(name)}:${tree}}}`) as {
        targets: object
      }
      Object.assign(repository.delegated[name] ?? {}, signed)
      repository.publish()
      expect((await client.find(repository.files, name))?.role, name).toBe(name)
    }
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before)
    expect(await exitOfSigned({ constructor: 1 })).toBe(0)
  })

  test('31: a million signatures, too many keys and delegations', { timeout: 60_000 }, async () => {
    const many = (text: string): string =>
      text.replace('"signatures":[', `"signatures":[${'{"keyid":"","sig":""},'.repeat(1025)}`)
    expect(await exitOfTimestamp(many)).toBe(16)
    const { repository, client } = await made()
    repository.rotate(root => {
      for (let n = 0; n < 1100; n += 1) root['keys'][`k${n}`] = { keytype: 'x', n }
    })
    expect(await client.exit(repository.files)).toBe(16)
    const wide = new Repository()
    const role = (n: number): object => ({
      name: `r${n}`,
      keyids: [],
      threshold: 1,
      terminating: false,
      paths: [],
    })
    wide.targets['delegations'] = {
      keys: {},
      roles: Array.from({ length: 65_537 }, (_, n) => role(n)),
    }
    wide.next()
    expect(await new Client(wide.firstRoot).exit(wide.files)).toBe(16)
  })

  test('37: hashes that say nothing', async () => {
    for (const hashes of [{}, { md5: 'd41d8cd98f00b204e9800998ecf8427e' }, { sha3: '00' }]) {
      const { repository, client } = await made()
      repository.targets['targets']['index-tree'].hashes = hashes
      repository.next()
      expect(await client.exit(repository.files)).toBe(16)
    }
  })

  test.each(['2.0.0', '1', '', '1.x', null])('44: spec_version %s', async version => {
    expect(await exitOfSigned({ spec_version: version })).toBe(16)
  })
})

function upperCase(signer: Signer): Signer['public'] {
  const { public: hex } = signer.public['keyval'] as { public: string }
  return { ...signer.public, keyval: { public: hex.toUpperCase() } }
}

/** The SPKI of the same P-256 key with its point compressed. */
function compressed(pem: string): string {
  const { x = '', y = '' } = createPublicKey(pem).export({ format: 'jwk' })
  const isOdd = (Buffer.from(y, 'base64url').at(-1) ?? 0) % 2 === 1
  const head = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex')
  const der = Buffer.concat([head, Buffer.from([isOdd ? 3 : 2]), Buffer.from(x, 'base64url')])
  return `-----BEGIN PUBLIC KEY-----\n${der.toString('base64')}\n-----END PUBLIC KEY-----\n`
}

const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

function plusOrder(signature: Uint8Array): Uint8Array {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + ORDER
  const hex = s.toString(16).padStart(64, '0')
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(hex, 'hex').reverse()])
}
