import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readDependencies } from '../../src/registry/dependency.ts'

const of = (deps: unknown): unknown[] => readDependencies(Buffer.from(JSON.stringify({ deps })))

test('what a line of today states', () => {
  const [line = ''] = readFileSync('fixtures/crates/index/fe/rr/ferry-app', 'utf8').split('\n')
  const found = readDependencies(Buffer.from(line))
  expect(found).toHaveLength(9)
  const plain = { kind: 'normal', isOptional: false, target: undefined }
  expect(found).toContainEqual({ ...plain, crate: 'f', requirement: '^1', kind: 'build' })
  expect(found).toContainEqual({
    ...plain,
    crate: 'ferry-lookout',
    requirement: '^0.1',
    kind: 'dev',
  })
  expect(found).toContainEqual({
    ...plain,
    crate: 'fry',
    requirement: '^0.2',
    target: 'cfg(windows)',
  })
  // renamed: it goes by "hull" in the code
  expect(found).toContainEqual({ ...plain, crate: 'ferry-hull', requirement: '^1' })
})

test('what an old line leaves out is as cargo takes it', () => {
  expect(
    of([
      { name: 'a', req: '*', features: [''] },
      { name: 'b', req: '1', kind: null },
    ]),
  ).toEqual([
    { crate: 'a', requirement: '*', kind: 'normal', isOptional: false, target: undefined },
    { crate: 'b', requirement: '1', kind: 'normal', isOptional: false, target: undefined },
  ])
  expect(readDependencies(Buffer.from('{"name":"a"}'))).toEqual([])
})

test.for<[string, unknown]>([
  ['no list', 'a'],
  ['nothing in it', [null, 7, 'a', []]],
  ['a name that is none', [{ name: '../a', req: '1' }]],
  ['no requirement', [{ name: 'a' }, { name: 'b', req: 1 }]],
  ["another registry's crate", [{ name: 'a', req: '1', registry: 'https://other.example/index' }]],
])('%s is no dependency', ([, deps]) => {
  expect(of(deps)).toEqual([])
})
