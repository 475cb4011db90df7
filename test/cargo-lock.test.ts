import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseCargoLock } from '../src/cargo-lock.ts'

const CRATES_IO = 'registry+https://github.com/rust-lang/crates.io-index'
const HASH = 'a'.repeat(64)

const parsed = (text: string): ReturnType<typeof parseCargoLock> =>
  parseCargoLock(Buffer.from(text), 'Cargo.lock')

test('the lock file of a real program pins each crate of the registry, and not the program', () => {
  const { packages, elsewhere } = parseCargoLock(
    readFileSync('fixtures/program/Cargo.lock'),
    'Cargo.lock',
  )
  expect(elsewhere).toBe(0)
  expect(packages.map(({ crate, version }) => `${crate} ${version}`)).toContain(
    'ferry-engine-sys 0.9.0+bunker.2.4.1',
  )
  expect(packages.every(({ checksum }) => checksum !== undefined)).toBe(true)
  expect(packages.some(({ crate }) => crate === 'ferry-crossing')).toBe(false)
})

test.for<[string, string]>([
  [
    '1',
    `[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "${CRATES_IO}"\n[metadata]\n"checksum a 1.0.0 (${CRATES_IO})" = "${HASH}"\n`,
  ],
  [
    '2',
    `[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "${CRATES_IO}"\nchecksum = "${HASH}"\n`,
  ],
  [
    '3',
    `version = 3\n[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "${CRATES_IO}"\nchecksum = "${HASH}"\n`,
  ],
  [
    '4',
    `version = 4\r\n[[package]]\r\nname = "a"\r\nversion = "1.0.0"\r\nsource = "sparse+https://index.crates.io/"\r\nchecksum = "${HASH}"\r\n`,
  ],
])('version %s of the format is read', ([, text]) => {
  expect(parsed(text)).toEqual({
    packages: [{ crate: 'a', version: '1.0.0', checksum: HASH }],
    elsewhere: 0,
  })
})

test('what comes from elsewhere is counted, what lies beside the program is not', () => {
  const sources = [
    'source = "sparse+https://crates.example/index/"',
    'source = "git+https://git.example/a#0123"',
    '',
  ]
  const packages = sources.map(source => `[[package]]\nname = "a"\nversion = "1.0.0"\n${source}\n`)
  expect(parsed(packages.join(''))).toEqual({ packages: [], elsewhere: 2 })
})

test.for<[string, string, string]>([
  ['not TOML', 'version = [', 'Cargo.lock:1:11: not TOML'],
  ['of a newer format', 'version = 5', 'Cargo.lock: lock file version 5 is newer than 4'],
  ['no lock file', '[package]\nname = "a"', 'Cargo.lock: "package" is not a list'],
  [
    'a name that is none',
    `[[package]]\nname = "../a"\nversion = "1.0.0"\nsource = "${CRATES_IO}"`,
    'Cargo.lock: "../a 1.0.0" is no crate and version',
  ],
])('%s is refused with its fault', ([, text, fault]) => {
  expect(() => parsed(text)).toThrow(fault)
})
