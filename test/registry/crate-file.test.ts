import { expect, test } from 'vitest'
import { isCrateFile, prefixOfCrateFile } from '../../src/registry/crate-file.ts'

const HASH = '0123456789abcdef'.repeat(4)

const PLACES: readonly (readonly [string, string | undefined])[] = [
  ['/panamax/crates/se/rd/serde/1.0.0/serde-1.0.0.crate', 'se/rd'],
  ['/romt/crates/In/fl/Inflector/Inflector-0.11.4.crate', 'in/fl'],
  ['/flat/serde_json-1.0.91.crate', 'se/rd'],
  ['/flat/ferry-engine-sys-0.8.0+bunker.2.3.9.crate', 'fe/rr'],
  ['/flat/ferry-hull-2.0.0-rc.1.crate', 'fe/rr'],
  ['/flat/a-1-0.1.0.crate', '3/a'],
  ['/flat/m-0.1.1.crate', '1'],
  ['/flat/nu-0.73.0.crate', '2'],
  ['/crates/syn/1.0.107/download', '3/s'],
  [`/mirror/public/crates/se/rd/${HASH}.crate`, 'se/rd'],
  [`/mirror/public/crates/3/s/${HASH}.crate`, '3/s'],
  [`/mirror/public/crates/2/${HASH}.crate`, '2'],
  [`/anywhere/${HASH}.crate`, undefined],
  ['/flat/whatever.crate', undefined],
  ['/flat/-1.0.0.crate', undefined],
  ['/flat/no such name-1.0.0.crate', undefined],
  ['/flat/.crate', undefined],
]

test.for(PLACES)('%s is a crate, and its place says whose', ([path, prefix]) => {
  expect(isCrateFile(path)).toBe(true)
  expect(prefixOfCrateFile(path)).toBe(prefix)
})

test.for([
  '/crates/serde/download',
  '/crates/serde/latest/download',
  '/crates/serde/1.0.0/readme',
  '/flat/serde-1.0.0.crate.json',
  '/flat/serde-1.0.0.crate.partial',
  '/index/se/rd/serde',
])('%s is not the file of a crate', path => {
  expect(isCrateFile(path)).toBe(false)
})
