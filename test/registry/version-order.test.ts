import { expect, test } from 'vitest'
import type { Version } from '../../src/registry/version.ts'
import { compareVersions } from '../../src/registry/version-order.ts'

/** The row of SemVer 2 section 11, numbers that outgrow a number, and what only cargo orders. */
const ASCENDING = [
  '0.9.10',
  '1.0.0-0',
  '1.0.0-2',
  '1.0.0-10',
  '1.0.0--',
  '1.0.0-alpha',
  '1.0.0-alpha.1',
  '1.0.0-alpha.beta',
  '1.0.0-beta',
  '1.0.0-beta.2',
  '1.0.0-beta.11',
  '1.0.0-rc.1',
  '1.0.0',
  '1.0.0+0',
  '1.0.0+00',
  '1.0.0+1',
  '1.0.0+01',
  '1.0.0+2',
  '1.0.0+2.1',
  '1.0.0+10',
  '1.0.0+a',
  '1.0.1-rc.1',
  '1.0.1',
  '1.2.0',
  '1.10.0',
  '2.0.0',
  '9007199254740993.0.0',
  '9007199254740994.0.0',
  '18446744073709551615.0.0',
] as Version[]

test('each version comes after all those before it, whichever way they are compared', () => {
  for (const [at, version] of ASCENDING.entries()) {
    for (const [before, other] of ASCENDING.entries()) {
      const order = Math.sign(compareVersions(version, other))
      expect(order, `${version} and ${other}`).toBe(Math.sign(at - before))
    }
  }
})
