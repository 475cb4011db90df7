import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CrateName, parseCrateName } from '../../src/registry/crate-name.ts'
import {
  indexPath,
  nameOfPath,
  parseIndexPath,
  prefixOf,
  prefixOfPath,
} from '../../src/registry/sparse-path.ts'

const name = (text: string): CrateName => text as CrateName

// what cargo asks for under these names
test.for([
  ['a', '1', '1/a'],
  ['ab', '2', '2/ab'],
  ['Z', '1', '1/z'],
  ['abc', '3/a', '3/a/abc'],
  ['Foo', '3/f', '3/f/foo'],
  ['a-b', '3/a', '3/a/a-b'],
  ['rand', 'ra/nd', 'ra/nd/rand'],
  ['serde', 'se/rd', 'se/rd/serde'],
  ['MixedCase', 'mi/xe', 'mi/xe/mixedcase'],
  ['bar_baz', 'ba/r_', 'ba/r_/bar_baz'],
  ['bar-baz', 'ba/r-', 'ba/r-/bar-baz'],
  ['a__b', 'a_/_b', 'a_/_b/a__b'],
])('%s has the prefix %s and the path %s', ([crate = '', prefix, path = '']) => {
  expect(prefixOf(name(crate))).toBe(prefix)
  expect(indexPath(name(crate))).toBe(path)
  expect(parseIndexPath(path)).toBe(path)
})

test.for([
  '',
  'serde',
  '/serde',
  'se/serde',
  'se/rd/',
  'se/rd/serde/',
  '/se/rd/serde',
  'se//rd/serde',
  './se/rd/serde',
  'se/rd/../rd/serde',
  'SE/RD/SERDE',
  'se/rd/Serde',
  'Se/rd/serde',
  'se/rd/tokio',
  'to/rd/serde',
  '3/s/serde',
  'a/a',
  '2/a',
  '1/ab',
  '3/b/abc',
  'ab/c/abc',
  '3/c/con',
  '3/n/nul',
  'co/m1/com1',
  'config.json',
  '..',
  '../x',
  'se/rd/serde\n',
  'se/rd/serde\0',
  'se\\rd\\serde',
  'se/rd/serde?x',
  'se/rd/%73erde',
  'se/rd/ｓerde',
  `aa/aa/${'a'.repeat(65)}`,
])('"%s" is the path of no crate', path => {
  expect(parseIndexPath(path)).toBeUndefined()
})

const LETTERS = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_']
const names = fc
  .string({ unit: fc.constantFrom(...LETTERS), minLength: 1, maxLength: 64 })
  .map(text => parseCrateName(text))
  .filter(crate => crate !== undefined)

test('every name has one path, which gives the name and the prefix back in lower case', () => {
  fc.assert(
    fc.property(names, crate => {
      const path = indexPath(crate)
      expect(parseIndexPath(path)).toBe(path)
      expect(nameOfPath(path)).toBe(crate.toLowerCase())
      expect(prefixOfPath(path)).toBe(prefixOf(crate))
      expect(indexPath(nameOfPath(path))).toBe(path)
    }),
    { numRuns: 500 },
  )
})
