import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Chosen, chooseVersions } from '../../src/registry/choice.ts'
import { parseCratePattern } from '../../src/registry/crate-pattern.ts'
import { parseRequirement, satisfies } from '../../src/registry/requirement.ts'
import type { Versions } from '../../src/registry/selection.ts'
import type { SelectionRules } from '../../src/registry/selection-rules.ts'
import type { IndexPath } from '../../src/registry/sparse-path.ts'
import type { Version } from '../../src/registry/version.ts'
import { compareVersions } from '../../src/registry/version-order.ts'

/** A version: `!` in front of it says that it is yanked; what it depends on stands behind. */
type Crates = Record<string, Record<string, readonly Dependency[]>>
type Dependency = { name: string; req: string } & Record<string, unknown>

/** Names of one letter, so the path is plain to see. */
function index(crates: Crates): Parameters<typeof chooseVersions>[1] {
  const files = new Map(
    Object.entries(crates).map(([name, versions]) => {
      const lines = Object.entries(versions).map(([version, deps]) => {
        const vers = version.replace('!', '')
        const cksum = Buffer.from(`${name} ${vers}`).toString('hex').padEnd(64, '0').slice(-64)
        const yanked = version.startsWith('!')
        return `${JSON.stringify({ name, vers, deps, cksum, features: {}, yanked })}\n`
      })
      return [`1/${name}` as IndexPath, Buffer.from(lines.join(''))] as const
    }),
  )
  return { paths: files.keys(), read: async path => files.get(path) }
}

type Given = Partial<Omit<SelectionRules, 'allow' | 'deny'>> & { allow?: string[]; deny?: string[] }

async function chosen(crates: Crates, given: Given, kept: Versions = new Map()): Promise<Chosen> {
  const patterns = (texts: string[] = []): SelectionRules['allow'] =>
    texts.flatMap(text => parseCratePattern(text) ?? [])
  const rules: SelectionRules = {
    newest: 0,
    pins: undefined,
    pinnedElsewhere: 0,
    withDependencies: false,
    devDependencies: false,
    ...given,
    allow: patterns(given.allow),
    deny: patterns(given.deny),
  }
  return await chooseVersions(rules, index(crates), kept)
}

const plain = ({ versions }: Chosen): Record<string, string[]> =>
  Object.fromEntries([...versions].map(([path, set]) => [path.slice(2), [...set].sort()]))

const on = (name: string, req: string, more: Record<string, unknown> = {}): Dependency => ({
  name,
  req,
  kind: 'normal',
  optional: false,
  target: null,
  ...more,
})

const WITH = { withDependencies: true, allow: ['a'] }

test('every version that is chosen brings its own; a circle ends', async () => {
  const crates = {
    a: { '1.0.0': [on('b', '^1')], '2.0.0': [on('b', '^2'), on('c', '*')] },
    b: { '1.0.0': [], '1.5.0': [on('a', '*')], '2.0.0': [], '2.1.0-rc.1': [] },
    c: { '0.1.0': [on('c', '^0.1'), on('d', '1')] },
    d: { '1.0.0': [] },
    e: { '1.0.0': [] },
  }
  // a is allowed by its name: it need not be listed
  expect(plain(await chosen(crates, WITH))).toEqual({
    b: ['1.5.0', '2.0.0'],
    c: ['0.1.0'],
    d: ['1.0.0'],
  })
})

test('optional, renamed, build and platform dependencies count; dev ones on request', async () => {
  const crates = {
    a: {
      '1.0.0': [
        on('b', '1', { optional: true }),
        on('alias', '1', { package: 'c' }),
        on('d', '1', { kind: 'build' }),
        on('e', '1', { target: 'cfg(windows)' }),
        on('g', '1', { kind: 'dev' }),
      ],
    },
    b: { '1.0.0': [] },
    c: { '1.0.0': [] },
    d: { '1.0.0': [] },
    e: { '1.0.0': [] },
    g: { '1.0.0': [] },
  }
  expect(Object.keys(plain(await chosen(crates, WITH)))).toEqual(['b', 'c', 'd', 'e'])
  const all = await chosen(crates, { ...WITH, devDependencies: true })
  expect(Object.keys(plain(all))).toEqual(['b', 'c', 'd', 'e', 'g'])
})

test('a yanked version, a pre-release nobody named and a denied one are no answer', async () => {
  const crates = {
    a: { '1.0.0': [on('b', '1'), on('c', '2.0.0-beta.1'), on('d', '1')] },
    b: { '1.0.0': [], '!1.9.0': [], '1.10.0-rc.1': [] },
    c: { '2.0.0-beta.1': [], '2.0.0-beta.2': [] },
    d: { '1.0.0': [], '1.1.0': [] },
  }
  expect(plain(await chosen(crates, { ...WITH, deny: ['d@1.1.0'] }))).toEqual({
    b: ['1.0.0'],
    c: ['2.0.0-beta.2'],
    d: ['1.0.0'],
  })
})

test('a crate of which nothing matches, or that is not there, is noted all the same', async () => {
  const crates = { a: { '1.0.0': [on('b', '9'), on('z', '1')] }, b: { '1.0.0': [] } }
  expect(plain(await chosen(crates, WITH))).toEqual({ b: [], z: [] })
})

test('the newest are releases that are not yanked; pre-releases only where there are none', async () => {
  const crates = {
    a: { '1.9.0': [], '1.10.0': [], '!1.11.0': [], '2.0.0-rc.1': [], '1.2.0': [] },
    b: { '1.0.0-alpha': [], '1.0.0-beta': [] },
    c: { '!1.0.0': [] },
  }
  expect(plain(await chosen(crates, { newest: 2 }))).toEqual({
    a: ['1.10.0', '1.9.0'],
    b: ['1.0.0-alpha', '1.0.0-beta'],
  })
})

test('what was chosen before stays while it is listed, or cannot be looked at', async () => {
  const kept = new Map([
    ['1/a' as IndexPath, new Set(['0.9.0', '0.1.0'] as Version[])],
    ['1/b' as IndexPath, new Set(['1.0.0'] as Version[])],
  ])
  const crates = { a: { '!0.9.0': [], '1.0.0': [], '1.1.0': [] }, b: {} }
  expect(plain(await chosen(crates, { newest: 1 }, kept))).toEqual({
    a: ['0.9.0', '1.1.0'],
    b: ['1.0.0'],
  })
})

test('a pin that is denied, unknown or of another checksum is told', async () => {
  const crates = { a: { '1.0.0': [], '!2.0.0': [] } }
  const pin = (version: string, checksum?: string): object => ({ crate: 'a', version, checksum })
  const pins = [pin('1.0.0'), pin('2.0.0', 'f'.repeat(64)), pin('3.0.0')] as never
  const made = await chosen(crates, { pins, deny: ['a@1.0.0'] })
  expect(plain(made)).toEqual({ a: ['2.0.0'] })
  expect(made.warnings).toEqual([
    'selection: a@1.0.0 is pinned by a lock file and denied',
    expect.stringMatching(
      /^selection: a@2\.0\.0 is pinned with checksum f+, the index says [0-9a-f]+$/,
    ),
    'selection: a@3.0.0 is pinned and not in the index',
  ])
})

test('a requirement that cannot be read is told once, whoever has it', async () => {
  const crates = {
    a: { '1.0.0': [on('b', 'latest')], '2.0.0': [on('b', 'latest'), on('c', 'latest')] },
  }
  const { warnings } = await chosen(crates, WITH)
  expect(warnings).toEqual([
    'selection: requirement "latest" of a@1.0.0 cannot be read: it matches nothing',
  ])
})

/** A small registry by chance: few names and numbers, so that everything meets everything. */
const name = fc.constantFrom('a', 'b', 'c', 'd')
const number = fc.constantFrom('0', '1', '2')
const version = fc.tuple(number, number, number).map(parts => parts.join('.'))
const comparator = fc.tuple(fc.constantFrom('', '~', '=', '>', '>=', '<', '<='), version)
const requirement = fc
  .array(
    comparator.map(parts => parts.join('')),
    { minLength: 1, maxLength: 2 },
  )
  .map(list => list.join(', '))
const dependency = fc.tuple(name, requirement).map(([crate, req]) => on(crate, req))
const entries = fc
  .dictionary(version, fc.tuple(fc.boolean(), fc.array(dependency, { maxLength: 3 })), {
    minKeys: 1,
    maxKeys: 5,
  })
  .map(versions =>
    Object.fromEntries(
      Object.entries(versions).map(([one, [isYanked, deps]]) => [isYanked ? `!${one}` : one, deps]),
    ),
  )
const registries = fc.record({ a: entries, b: entries, c: entries, d: entries })

test('whatever the registry: each requirement of what is chosen has its newest match chosen, and where one version could serve two of them at once one of the chosen does', async () => {
  const usable = (crates: Crates, crate: string): Version[] =>
    Object.keys(crates[crate] ?? {}).filter(key => !key.startsWith('!')) as Version[]
  await fc.assert(
    fc.asyncProperty(registries, async crates => {
      const found = plain(await chosen(crates, { ...WITH, newest: 1 }))
      const asked = Object.entries(found).flatMap(([crate, versions]) =>
        versions.flatMap(one => (crates as Crates)[crate]?.[one] ?? []),
      )
      const matching = (crate: string, ...reqs: string[]): Version[] =>
        usable(crates, crate).filter(one =>
          reqs.every(req => satisfies(one, parseRequirement(req) ?? { comparators: [] })),
        )
      for (const one of asked) {
        const best = matching(one.name, one.req).sort(compareVersions).at(-1)
        if (best !== undefined) expect(found[one.name]).toContain(best)
        for (const other of asked.filter(each => each.name === one.name)) {
          const both = matching(one.name, one.req, other.req)
          if (both.length > 0) expect(both.some(v => found[one.name]?.includes(v))).toBe(true)
        }
      }
    }),
    { numRuns: 200 },
  )
})
