import { sha256 as noble } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isChecksum, sha256 } from '../../src/registry/checksum.ts'

const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

test('the checksum of bytes is what sha256sum prints', () => {
  expect(sha256('')).toBe(EMPTY)
  expect(sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  expect(sha256(Buffer.from('abc'))).toBe(sha256('abc'))
})

test('an independent implementation finds the same checksum', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
      expect(sha256(bytes)).toBe(noble(bytes).toHex())
      expect(isChecksum(sha256(bytes))).toBe(true)
    }),
  )
})

test('a part of a buffer is hashed without the rest of it', () => {
  expect(sha256(Buffer.from('xabcx').subarray(1, 4))).toBe(sha256('abc'))
})

test.for<[string, unknown]>([
  ['upper case, which makes cargo fail', EMPTY.toUpperCase()],
  ['63 digits', EMPTY.slice(1)],
  ['65 digits', `${EMPTY}0`],
  ['a newline at the end', `${EMPTY}\n`],
  ['a letter beyond f', `g${EMPTY.slice(1)}`],
  ['a prefix', `0x${EMPTY.slice(2)}`],
  ['full-width digits', EMPTY.replace('0', '０')],
  ['a number', 0],
  ['nothing', undefined],
  ['a list of one checksum', [EMPTY]],
])('%s is no checksum', ([, text]) => {
  expect(isChecksum(text)).toBe(false)
})
