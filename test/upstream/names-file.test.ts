import { expect, test } from 'vitest'
import { readNames } from '../../src/upstream/names-file.ts'

test('a file of names may have comments, blank lines and any line ends', () => {
  const text = '\ufeff# what we build\r\nserde\r\n\r\n  tokio  # the runtime\nInflector'
  expect(readNames(text, 'names.txt')).toEqual(['serde', 'tokio', 'Inflector'])
})

test('a name in two cases counts once, as first written; a dash is not an underscore', () => {
  expect(readNames('Serde\nserde\na-b\na_b\n', 'names.txt')).toEqual(['Serde', 'a-b', 'a_b'])
})

test('an empty file names nothing', () => {
  expect(readNames('', 'names.txt')).toEqual([])
})

test.for([
  ['../x', 'names.txt: line 3: "../x" is not a crate name'],
  ['serde tokio', 'names.txt: line 3: "serde tokio" is not a crate name'],
  ['\u001b[2J', 'names.txt: line 3: "\\u001b[2J" is not a crate name'],
  ['x'.repeat(65), `names.txt: line 3: "${'x'.repeat(65)}" is not a crate name`],
])('a line that is no name is refused with its number: %j', ([line, message]) => {
  expect(() => readNames(`# crates\r\nserde\r\n${line}\r\n`, 'names.txt')).toThrow(
    expect.objectContaining({ code: 'usage', message }),
  )
})

test('a file of names has its bounds (P15)', () => {
  const many = '\n'.repeat(5_000_001)
  expect(() => readNames(many, 'names.txt')).toThrow('more than 5000000 lines')
  const long = `#${'ü'.repeat(32 * 1_048_576)}`
  expect(() => readNames(long, 'names.txt')).toThrow('longer than 67108864 bytes')
})
