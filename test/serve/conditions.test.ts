import { expect, test } from 'vitest'
import { isNotModified, partOf } from '../../src/serve/conditions.ts'

const ETAG = '"ab12"'

test.each([
  [ETAG, true],
  [`W/${ETAG}`, true],
  [`"x", ${ETAG}`, true],
  [`"x",W/${ETAG} , "y"`, true],
  ['*', true],
  ['"x"', false],
  ['ab12', false],
  [`w/${ETAG}`, false],
  ['', false],
  [undefined, false],
])('If-None-Match %j: the client has it: %j', (header, has) => {
  expect(isNotModified(header, ETAG)).toBe(has)
})

test.each([
  ['bytes=0-', { start: 0, end: 10 }],
  ['bytes=0-0', { start: 0, end: 1 }],
  ['bytes=3-5', { start: 3, end: 6 }],
  ['bytes=9-99', { start: 9, end: 10 }],
  ['bytes=-3', { start: 7, end: 10 }],
  ['bytes=-99', { start: 0, end: 10 }],
  ['bytes=10-', 'unsatisfiable'],
  ['bytes=999999999999999-', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=9999999999999999-', 'whole'],
  ['bytes=5-3', 'whole'],
  ['bytes=0-1,3-4', 'whole'],
  ['bytes=-', 'whole'],
  ['bytes=0x1-2', 'whole'],
  ['bytes=+1-2', 'whole'],
  ['bytes 0-1', 'whole'],
  ['lines=0-1', 'whole'],
  [undefined, 'whole'],
] as const)('Range %j of ten bytes: %j', (range, part) => {
  expect(partOf(10, ETAG, { range, ifRange: undefined })).toEqual(part)
})

test('of nothing there is no part', () => {
  for (const range of ['bytes=0-', 'bytes=-1']) {
    expect(partOf(0, ETAG, { range, ifRange: undefined })).toBe('unsatisfiable')
  }
})

test('a part is given under If-Range only for the very same bytes', () => {
  const range = 'bytes=3-'
  expect(partOf(10, ETAG, { range, ifRange: ETAG })).toEqual({ start: 3, end: 10 })
  for (const ifRange of [`W/${ETAG}`, '"other"', 'Thu, 26 Nov 2026 00:00:00 GMT', '*', '']) {
    expect(partOf(10, ETAG, { range, ifRange }), ifRange).toBe('whole')
  }
})
