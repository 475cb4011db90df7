import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { ChecksumSet } from '../../src/registry/checksum-set.ts'

test('it holds what a Set holds, in order, through every time it grows', () => {
  const set = new ChecksumSet()
  const plain = new Set<string>()
  for (let n = 0; n < 10_000; n += 1) {
    const checksum = sha256(String(n % 7000))
    expect(set.add(checksum)).toBe(!plain.has(checksum))
    plain.add(checksum)
  }
  expect(set.size).toBe(7000)
  expect([...set.sorted()]).toEqual([...plain].sort())
  expect(set.has(sha256('6999'))).toBe(true)
  expect(set.has(sha256('7000'))).toBe(false)
})
