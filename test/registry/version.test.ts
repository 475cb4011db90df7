import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseVersion } from '../../src/registry/version.ts'

test.for([
  '0.0.0',
  '1.2.3',
  '10.20.30',
  '4294967296.0.0',
  '1.0.0-alpha',
  '1.0.0-alpha.1',
  '1.0.0-0.3.7',
  '1.0.0-x-y-z.--',
  '1.0.0-0a',
  '1.0.0--',
  '1.0.0-rc.1+build.5',
  '110.0.0+1.1.0f',
  '1.0.0+001',
  '1.0.0+-',
])('%s is a version, kept as it is spelled', text => {
  expect(parseVersion(text)).toBe(text)
})

test.for<[string, unknown]>([
  ['nothing at all', ''],
  ['two numbers', '1.0'],
  ['four numbers', '1.0.0.0'],
  ['a v first', 'v1.0.0'],
  ['a leading zero in the major number', '01.0.0'],
  ['a leading zero in the minor number', '1.00.0'],
  ['a leading zero in the patch number', '1.0.01'],
  ['a leading zero in a numeric part of the pre-release', '1.0.0-rc.01'],
  ['an empty pre-release', '1.0.0-'],
  ['an empty part of the pre-release', '1.0.0-a..b'],
  ['an empty build', '1.0.0+'],
  ['an empty part of the build', '1.0.0+a..b'],
  ['two builds', '1.0.0+a+b'],
  ['an underscore', '1.0.0-rc_1'],
  ['a way out of the folder', '1.0.0/../../x'],
  ['the folder above', '..'],
  ['a backslash', '1.0.0-a\\b'],
  ['a percent sign', '1.0.0%2B1'],
  ['a word', 'latest'],
  ['a range', '^1.0.0'],
  ['a star', '1.*'],
  ['a minus', '-1.0.0'],
  ['a space before', ' 1.0.0'],
  ['a newline after', '1.0.0\n'],
  ['a NUL', '1.0.0\0'],
  ['full-width digits', '１.0.0'],
  ['Arabic digits', '١.0.0'],
  ['300 characters', `1.0.0-${'a'.repeat(294)}`],
  ['a number', 1],
  ['nothing', undefined],
  ['a list of one version', ['1.0.0']],
])('%s is no version', ([, text]) => {
  expect(parseVersion(text)).toBeUndefined()
})

test('a version has at most 250 characters', () => {
  const longest = `1.0.0-${'a'.repeat(244)}`
  expect(parseVersion(longest)).toBe(longest)
  expect(parseVersion(`${longest}a`)).toBeUndefined()
})

test('whatever the text, a version is one safe piece of a file name', () => {
  const pieces = fc.constantFrom(
    '1',
    '0',
    '01',
    '.',
    '-',
    '+',
    'a',
    'Z',
    '/',
    '..',
    '%',
    '\n',
    '\\',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), tail => {
      const version = parseVersion(`1.0.0${tail.join('')}`)
      if (version !== undefined) expect(version).toMatch(/^[0-9]+\.[0-9A-Za-z.+-]+$/)
      if (version !== undefined) expect(version).not.toContain('..')
    }),
    { numRuns: 1000 },
  )
})
