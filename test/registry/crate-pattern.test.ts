import { expect, test } from 'vitest'
import type { CrateName } from '../../src/registry/crate-name.ts'
import { matchesName, matchesVersion, parseCratePattern } from '../../src/registry/crate-pattern.ts'
import type { Version } from '../../src/registry/version.ts'

test.for<[string, string[], string[]]>([
  ['serde', ['serde', 'Serde'], ['serde_json', 'serd', 'aserde']],
  ['Serde*', ['serde', 'serde_json'], ['xserde']],
  ['*-sys', ['a-sys', 'a-sys-sys', '-sys'], ['a-sys2', 'sys']],
  ['tokio-*-macros*', ['tokio-x-macros', 'tokio-a-macros-b-macros'], ['tokio-macros', 'tokio-']],
  ['a?c', ['abc', 'a-c'], ['ac', 'abbc']],
  ['*', ['a'], []],
  ['?*?', ['ab', 'abc'], ['a']],
])('%s is about %j and not about %j', ([pattern, yes, no]) => {
  const parsed = parseCratePattern(pattern)
  for (const name of yes) expect(parsed && matchesName(parsed, name as CrateName), name).toBe(true)
  for (const name of no) expect(parsed && matchesName(parsed, name as CrateName), name).toBe(false)
})

test.for<[string, string[], string[]]>([
  ['a@1.*', ['1.0.0', '1.2.3-rc.1', '1.0.0+b'], ['11.0.0', '0.1.0']],
  ['a@1.0.0', ['1.0.0'], ['1.0.0+b', '1.0.00', '1.0.0-rc.1']],
  ['a@*+*', ['1.0.0+b'], ['1.0.0']],
  ['a@?.?.?', ['1.0.0'], ['10.0.0', '1.0.0-a']],
  ['a', ['1.0.0', '2.0.0-rc.1'], []],
])('%s is about versions %j and not about %j', ([pattern, yes, no]) => {
  const parsed = parseCratePattern(pattern)
  for (const one of yes) expect(parsed && matchesVersion(parsed, one as Version), one).toBe(true)
  for (const one of no) expect(parsed && matchesVersion(parsed, one as Version), one).toBe(false)
})

test('no pattern takes long, however many stars it has', () => {
  const parsed = parseCratePattern(`a@${'*1'.repeat(120)}x`)
  const began = performance.now()
  expect(parsed && matchesVersion(parsed, '1'.repeat(250) as Version)).toBe(false)
  expect(performance.now() - began).toBeLessThan(1000)
})
