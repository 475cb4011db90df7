import { generateKeyPairSync, webcrypto } from 'node:crypto'
import { scrypt } from '@noble/hashes/scrypt.js'
import { expect, test } from 'vitest'
import { keyFile, openKeyFile, publicHalfBytes, readPublicHalf } from '../../src/trust/key-file.ts'

const SEED = Buffer.alloc(32, 7)
const WORDS = 'correct horse battery staple'
const type = (words: string) => async (): Promise<string> => words
const never = async (): Promise<string> => {
  throw new Error('nobody was to be asked')
}
// biome-ignore lint/suspicious/noExplicitAny: members are changed in every way
type Fields = Record<string, any>
const fieldsOf = (bytes: Uint8Array): Fields => JSON.parse(Buffer.from(bytes).toString()) as Fields
const bytesOf = (fields: Fields): Uint8Array => Buffer.from(JSON.stringify(fields))

test('what is sealed opens with its passphrase, and each time it is another file', async () => {
  const bytes = await keyFile(SEED, { owner: 'alice', passphrase: WORDS })
  expect(Buffer.from(bytes).toString()).not.toContain(SEED.toString('hex'))
  const key = await openKeyFile(bytes, 'alice.key', type(WORDS))
  expect(key.owner).toBe('alice')
  expect(key.sign(Buffer.from('x'))).toHaveLength(64)
  const other = fieldsOf(await keyFile(SEED, { owner: 'alice', passphrase: WORDS }))
  const { kdf, cipher } = fieldsOf(bytes)
  expect(other['kdf'].salt).not.toBe(kdf.salt)
  expect(other['cipher'].nonce).not.toBe(cipher.nonce)
  // two ways to type one letter
  const accents = await keyFile(SEED, { passphrase: 'é' })
  await openKeyFile(accents, 'x', type('e\u0301'))
})

test('the file is what docs/trust.md says: other implementations open it', async () => {
  const bytes = await keyFile(SEED, { passphrase: WORDS })
  const { sealed, ...open } = fieldsOf(bytes)
  const { n, r, p, salt } = open['kdf'] as { n: number; r: number; p: number; salt: string }
  expect([n, r, p]).toEqual([131_072, 8, 1])
  const raw = scrypt(WORDS, Buffer.from(salt, 'hex'), { N: n, r, p, dkLen: 32 })
  const { subtle } = webcrypto
  const key = await subtle.importKey('raw', raw, 'AES-GCM', false, ['decrypt'])
  const iv = Buffer.from(open['cipher'].nonce, 'hex')
  // the file is canonical, so the rest of it as it stands is what is bound
  const text = Buffer.from(bytes).toString()
  const additionalData = Buffer.from(text.replace(/,"sealed":"[0-9a-f]+"/, ''))
  const seed = await subtle.decrypt(
    { name: 'AES-GCM', iv, additionalData, tagLength: 128 },
    key,
    Buffer.from(sealed, 'hex'),
  )
  expect(Buffer.from(seed)).toEqual(SEED)
})

test('another passphrase, and any change, opens nothing', { timeout: 60_000 }, async () => {
  const fields = fieldsOf(await keyFile(SEED, { owner: 'alice', passphrase: WORDS }))
  const refused = async (change: Fields, words = WORDS): Promise<string> => {
    const bytes = bytesOf({ ...fields, ...change })
    const error = await openKeyFile(bytes, 'alice.key', type(words)).then(
      () => undefined,
      error => error as Error,
    )
    expect(error?.message ?? '').not.toContain(WORDS)
    return error?.message ?? 'opened'
  }
  const wrong = 'alice.key: the passphrase does not open it, or the file was changed'
  expect(await refused({})).toBe('opened')
  expect(await refused({}, 'another')).toBe(wrong)
  expect(await refused({ owner: 'mallory' })).toBe(wrong)
  expect(await refused({ keyid: '0'.repeat(64) })).toBe(wrong)
  expect(await refused({ note: 1 })).toBe(wrong)
  const flipped = `${fields['sealed'].slice(0, -1)}${fields['sealed'].endsWith('0') ? '1' : '0'}`
  expect(await refused({ sealed: flipped })).toBe(wrong)
  expect(await refused({ sealed: fields['sealed'].slice(0, 20) })).toMatch(/is cut/)
  const { kdf, cipher } = fields
  for (const cost of [
    { n: 65_536 },
    { n: 2_097_152 },
    { n: 131_073 },
    { r: 16 },
    { r: 1 },
    { p: 5 },
    { p: 0 },
    { name: 'pbkdf2' },
    { n: '131072x' },
  ]) {
    expect(await refused({ kdf: { ...kdf, ...cost } }), JSON.stringify(cost)).toMatch(
      /scrypt parameters/,
    )
  }
  expect(await refused({ kdf: { ...kdf, salt: '00' } })).toMatch(/salt or nonce/)
  expect(await refused({ cipher: { ...cipher, nonce: '00' } })).toMatch(/salt or nonce/)
  expect(await refused({ cipher: { ...cipher, name: 'aes-256-cbc' } })).toMatch(/another cipher/)
})

test('a plain key asks nobody, and its public half is all that travels', async () => {
  const bytes = await keyFile(SEED, { owner: 'bob' })
  const key = await openKeyFile(bytes, 'bob.key', never)
  const half = publicHalfBytes(readPublicHalf(bytes, 'bob.key'))
  expect(Buffer.from(half).toString()).not.toContain(SEED.toString('hex'))
  expect(readPublicHalf(half, 'bob.pub.json')).toEqual({
    keyid: key.keyid,
    public: key.public,
    owner: 'bob',
  })
  await expect(openKeyFile(half, 'bob.pub.json', never)).rejects.toThrow(/is not a key file/)
})

test('a public key in PEM has a half too, where it may sign', () => {
  const pem = (pair: { publicKey: { export: (how: object) => string | Buffer } }): Buffer =>
    Buffer.from(pair.publicKey.export({ type: 'spki', format: 'pem' }))
  const card = readPublicHalf(pem(generateKeyPairSync('ec', { namedCurve: 'P-256' })), 'card.pem')
  expect(card.public).toMatchObject({ keytype: 'ecdsa', scheme: 'ecdsa-sha2-nistp256' })
  expect(readPublicHalf(publicHalfBytes(card), 'card.pub.json')).toEqual(card)
  const module = readPublicHalf(pem(generateKeyPairSync('rsa', { modulusLength: 2048 })), 'm.pem')
  expect(module.public).toMatchObject({ keytype: 'rsa', scheme: 'rsassa-pss-sha256' })
  const weak = pem(generateKeyPairSync('rsa', { modulusLength: 1024 }))
  expect(() => readPublicHalf(weak, 'weak.pem')).toThrow(/weak\.pem: is not a key file/)
})
