import { expect, test } from 'vitest'
import { parseCrateName } from '../../src/registry/crate-name.ts'

test.for(['a', 'Z', 'serde', 'FerryMast', 'bar-baz', 'bar_baz', 'a-', 'a_', 'x86', 'a'.repeat(64)])(
  '%s is a crate name, in its own case',
  name => {
    expect(parseCrateName(name)).toBe(name)
  },
)

test.for<[string, unknown]>([
  ['nothing at all', ''],
  ['65 characters', 'a'.repeat(65)],
  ['a digit first', '7zip'],
  ['a dash first, which a command takes for an option', '-x'],
  ['an underscore first', '_x'],
  ['a dot', 'a.b'],
  ['a hidden file', '.a'],
  ['the folder above', '..'],
  ['a way out of the folder', '../x'],
  ['a slash', 'a/b'],
  ['a backslash', 'a\\b'],
  ['a plus', 'a+b'],
  ['a space', 'a b'],
  ['a space at the end', 'a '],
  ['a newline at the end', 'a\n'],
  ['a NUL', 'a\0'],
  ['an escape code', 'a\u001b[31m'],
  ['a full-width letter', 'ａ'],
  ['an accent', 'café'],
  ['a combining accent', 'cafe\u0301'],
  ['a Kelvin sign, which lower-cases to k', '\u212Aelvin'],
  ['a dotless i', 'ı'],
  ['a right-to-left mark', 'a\u202eb'],
  ['a number', 7],
  ['nothing', null],
  ['a list of one name', ['serde']],
])('%s is no crate name', ([, text]) => {
  expect(parseCrateName(text)).toBeUndefined()
})

const DEVICES = ['con', 'prn', 'aux', 'nul']
const NUMBERED = ['com', 'lpt'].flatMap(device => [1, 5, 9].map(n => `${device}${n}`))

test.for([...DEVICES, ...NUMBERED])('%s, a device of Windows, is no crate name', device => {
  expect(parseCrateName(device)).toBeUndefined()
  expect(parseCrateName(device.toUpperCase())).toBeUndefined()
  const mixed = `${device.slice(0, 1).toUpperCase()}${device.slice(1)}`
  expect(parseCrateName(mixed)).toBeUndefined()
})

test.for(['con1', 'aux-', 'nul_', 'com0', 'com10', 'lpt', 'console', 'x-con'])(
  '%s only looks like a device',
  name => {
    expect(parseCrateName(name)).toBe(name)
  },
)
