import { expect, test } from 'vitest'
import { parseCratePattern } from '../../src/registry/crate-pattern.ts'
import {
  parseSelection,
  Selection,
  selectionText,
  type Versions,
} from '../../src/registry/selection.ts'
import {
  goesByName,
  isEverything,
  rulesText,
  type SelectionRules,
} from '../../src/registry/selection-rules.ts'
import type { IndexPath } from '../../src/registry/sparse-path.ts'
import type { Version } from '../../src/registry/version.ts'

const patterns = (texts: string[]): SelectionRules['allow'] =>
  texts.flatMap(text => parseCratePattern(text) ?? [])

function rules(
  given: Partial<Omit<SelectionRules, 'allow' | 'deny'>> & {
    allow?: string[]
    deny?: string[]
  } = {},
): SelectionRules {
  return {
    newest: 0,
    pins: undefined,
    pinnedElsewhere: 0,
    withDependencies: false,
    devDependencies: false,
    ...given,
    allow: patterns(given.allow ?? []),
    deny: patterns(given.deny ?? []),
  }
}

const versions = (of: Record<string, string[]>): Versions =>
  new Map(Object.entries(of).map(([path, list]) => [path as IndexPath, new Set(list as Version[])]))

function selects(selection: Selection, path: string, version: string): boolean {
  return selection.of(path as IndexPath)(version as Version)
}

test('what the rules name is selected without being listed, what is denied never is', () => {
  const text = rulesText(rules({ allow: ['fy', 'fe*@1.*'], deny: ['*@1.1.0', 'ferry-bad'] }))
  const selection = new Selection(text, versions({ '1/f': ['2.0.0'] }))
  expect(selects(selection, '2/fy', '0.1.0')).toBe(true)
  expect(selects(selection, 'fe/rr/ferry-app', '1.0.0')).toBe(true)
  expect(selects(selection, 'fe/rr/ferry-app', '2.0.0')).toBe(false)
  expect(selects(selection, 'fe/rr/ferry-app', '1.1.0')).toBe(false)
  expect(selects(selection, 'fe/rr/ferry-bad', '1.0.0')).toBe(false)
  expect(selects(selection, '1/f', '2.0.0')).toBe(true)
  expect(selects(selection, '1/f', '1.0.0')).toBe(false)
  expect(selection.isAbout('1/f' as IndexPath)).toBe(true)
  expect(selection.isAbout('fe/rr/ferry-bad' as IndexPath)).toBe(false)
  expect(selection.isAbout('3/f/fry' as IndexPath)).toBe(false)
})

test('where only the newest or pinned ones count, only what is listed is selected', () => {
  const newest = new Selection(rulesText(rules({ newest: 1 })), versions({ '2/fy': ['0.1.0'] }))
  expect(selects(newest, '2/fy', '0.1.0')).toBe(true)
  expect(selects(newest, '2/fy', '0.0.9')).toBe(false)
  const pinned = new Selection(rulesText(rules({ pins: [] })), new Map())
  expect(selects(pinned, '2/fy', '0.1.0')).toBe(false)
})

test('a record reads back as it was, and the same selection is the same bytes', () => {
  const text = rulesText(rules({ allow: ['b', 'a', 'a'], newest: 2 }))
  expect(text).toBe(rulesText(rules({ allow: ['a', 'b'], newest: 2 })))
  const one = versions({ '1/b': [], '1/a': ['1.10.0', '1.9.0', '1.10.0-rc.1'] })
  const written = selectionText(new Selection(text, one))
  expect(written).toBe(`crateferry selection 1\n${text}\n1/a 1.9.0 1.10.0-rc.1 1.10.0\n1/b\n`)
  const other = versions({ '1/a': ['1.10.0-rc.1', '1.9.0', '1.10.0'], '1/b': [] })
  expect(selectionText(new Selection(text, other))).toBe(written)
  expect(selectionText(parseSelection(written))).toBe(written)
  expect(parseSelection(written).summary).toBe('allow a b, the newest 2')
})

const RULES = rulesText(rules({ allow: ['a'] }))

test.for([
  '',
  `crateferry selection 2\n${RULES}\n`,
  'crateferry selection 1\n{}\n',
  'crateferry selection 1\nno rules\n',
  `crateferry selection 1\n${RULES}\n1/a 1.0.0`,
  `crateferry selection 1\n${RULES}\n1/a 1.0\n`,
  `crateferry selection 1\n${RULES}\n../a 1.0.0\n`,
  `crateferry selection 1\n${RULES}\n\n`,
])('what nobody wrote is refused: %j', text => {
  expect(() => parseSelection(text)).toThrow(SyntaxError)
})

test('another pin is another rule; the order of pins is none', () => {
  const pin = (name: string): NonNullable<SelectionRules['pins']>[number] =>
    ({ crate: name, version: '1.0.0', checksum: undefined }) as never
  const text = rulesText(rules({ pins: [pin('a'), pin('b')] }))
  expect(rulesText(rules({ pins: [pin('b'), pin('a')] }))).toBe(text)
  expect(rulesText(rules({ pins: [pin('a')] }))).not.toBe(text)
  expect(rulesText(rules({ pins: [] }))).not.toBe(rulesText(rules()))
})

test('which rules are none, and which need no look at the index', () => {
  expect(isEverything(rules({ withDependencies: true }))).toBe(true)
  for (const some of [{ allow: ['a'] }, { deny: ['a'] }, { newest: 1 }, { pins: [] }]) {
    expect(isEverything(rules(some))).toBe(false)
  }
  expect(goesByName(rules({ deny: ['a'], withDependencies: true }))).toBe(true)
  expect(goesByName(rules({ allow: ['a'] }))).toBe(true)
  expect(goesByName(rules({ allow: ['a'], withDependencies: true }))).toBe(false)
  expect(goesByName(rules({ newest: 1 }))).toBe(false)
  expect(goesByName(rules({ pins: [] }))).toBe(false)
})
