import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { binOf } from '../../src/trust/bins.ts'
import { matchesPattern } from '../../src/trust/path-pattern.ts'
import { Client } from './client.ts'
import { key, Repository } from './repository.ts'

/** Each delegation as `delegator role how`; the roles asked for while a path is searched that nobody lists. */
async function order(
  edges: readonly (readonly [delegator: string, role: string, how?: object])[],
  path = 'x/y',
): Promise<string> {
  const repository = new Repository()
  for (const [delegator, role, how] of edges) repository.delegate(delegator, role, how)
  repository.next()
  const client = new Client(repository.firstRoot)
  expect(await client.find(repository.files, path)).toBeUndefined()
  const roles = client.asked.flatMap(file => /^2\.(.+)\.json$/.exec(file)?.[1] ?? [])
  return roles.filter(name => !['root', 'snapshot', 'targets'].includes(name)).join(' ')
}

const END = { terminating: true }

describe('the order in which roles are asked (TUF 5.6.7)', () => {
  test('pre-order, each role once, cycles and diamonds included', async () => {
    expect(
      await order([
        ['targets', 'a'],
        ['a', 'b'],
        ['b', 'c'],
        ['targets', 'd'],
      ]),
    ).toBe('a b c d')
    expect(
      await order([
        ['targets', 'a'],
        ['targets', 'b'],
        ['a', 'c'],
        ['b', 'c'],
        ['c', 'd'],
      ]),
    ).toBe('a c d b')
    expect(
      await order([
        ['targets', 'a'],
        ['a', 'b'],
        ['b', 'a'],
        ['b', 'b'],
      ]),
    ).toBe('a b')
  })

  test('after a terminating role no other is asked, of its delegator or above', async () => {
    expect(
      await order([
        ['targets', 'a', END],
        ['targets', 'b'],
      ]),
    ).toBe('a')
    expect(
      await order([
        ['targets', 'a'],
        ['targets', 'd'],
        ['a', 'b', END],
        ['a', 'c'],
        ['b', 'e'],
      ]),
    ).toBe('a b e')
    const other = { ...END, paths: ['else'] }
    expect(
      await order([
        ['targets', 'a', other],
        ['targets', 'b'],
      ]),
      'it was not trusted',
    ).toBe('b')
  })

  test('only roles trusted with the path are asked', async () => {
    const paths = (...paths: string[]): object => ({ paths })
    expect(
      await order([
        ['targets', 'a', paths('x/*')],
        ['targets', 'b', paths('*')],
      ]),
    ).toBe('a')
    const hash = sha256('x/y')
    const prefix = (...path_hash_prefixes: string[]): object => ({ path_hash_prefixes })
    const digits = [...'0123456789abcdef']
    const others = digits.filter(digit => digit !== hash[0])
    expect(
      await order([
        ['targets', 'a', prefix(...others)],
        ['targets', 'b', prefix(hash.slice(0, 3))],
        ['targets', 'c', prefix(hash)],
        ['targets', 'd', prefix(...digits)],
        ['targets', 'e', paths('*/?')],
      ]),
    ).toBe('b c d e')
  })

  test('34: a chain of more than 32 roles is refused', async () => {
    const repository = new Repository()
    for (let n = 0; n < 40; n += 1) repository.delegate(n === 0 ? 'targets' : `r${n - 1}`, `r${n}`)
    repository.list('deep', 'deep', 'r31')
    repository.list('deeper', 'deeper', 'r32')
    repository.next()
    const client = new Client(repository.firstRoot)
    expect(await client.exit(repository.files, { path: 'deep' })).toBe(0)
    expect(await client.exit(repository.files, { path: 'deeper' })).toBe(16)
  })
})

describe('authority', () => {
  test('34: a role had for one delegator is judged anew for another, by that one’s keys', async () => {
    const repository = new Repository()
    repository.delegate('targets', 'a', { paths: ['a/*'] })
    repository.delegate('targets', 'b', { paths: ['b/*'] })
    repository.delegate('a', 'shared', { paths: ['a/*'] }, [key(8)])
    repository.delegate('b', 'shared', { paths: ['b/*'] }, [key(9)])
    repository.list('a/x', 'x', 'shared')
    repository.list('b/x', 'x', 'shared')
    repository.next()
    const cycle = await new Client(repository.firstRoot).follow(repository.files)
    expect((await cycle.find('a/x'))?.role).toBe('shared')
    await expect(cycle.find('b/x')).rejects.toMatchObject({ code: 'signature' })
    const other = await new Client(repository.firstRoot).follow(repository.files)
    await expect(other.find('b/x')).rejects.toMatchObject({ code: 'signature' })
    expect((await other.find('a/x'))?.role, 'a refusal is not remembered').toBe('shared')
  })

  test('36: a role that the snapshot does not list is not asked for', async () => {
    const repository = new Repository()
    repository.delegate('targets', 'a')
    delete repository.delegated['a']
    repository.next()
    const client = new Client(repository.firstRoot)
    expect(await client.exit(repository.files, { path: 'x' })).toBe(11)
    expect(client.asked).not.toContain('1.a.json')
    expect(client.asked).not.toContain('2.a.json')
  })

  test('a role outside its paths is not asked, whatever it lists', async () => {
    const repository = new Repository()
    repository.delegate('targets', 'a', { paths: ['a/*'] })
    repository.list('b/x', 'x', 'a')
    repository.next()
    const client = new Client(repository.firstRoot)
    expect(await client.find(repository.files, 'b/x')).toBeUndefined()
  })

  test('33: names of roles are one segment of a path, or refused', async () => {
    const odd = [
      '../x',
      '/x',
      'a//b',
      'a/./b',
      '%2e%2e',
      '\\',
      'a\0b',
      'CON',
      'Foo',
      'foo',
      'é',
      "(it's*)!",
    ]
    const repository = new Repository()
    for (const name of odd) repository.delegate('targets', name)
    repository.next()
    const client = new Client(repository.firstRoot)
    expect(await client.exit(repository.files, { path: 'nothing' })).toBe(0)
    const roles = client.asked.slice(-odd.length)
    expect(roles).toContain('2.%28it%27s%2A%29%21.json')
    for (const file of roles) expect(file).toMatch(/^2\.[A-Za-z0-9._~%-]+\.json$/)
    expect(new Set(roles).size).toBe(odd.length)
    for (const name of [
      '',
      'x'.repeat(201),
      'é'.repeat(40),
      'root',
      'targets',
      'timestamp',
      'snapshot',
    ]) {
      const refused = new Repository()
      refused.delegate('targets', name)
      delete refused.delegated[name]
      refused.signers['targets'] = [key(4)]
      refused.publish()
      expect(await new Client(refused.firstRoot).exit(refused.files), name).toBe(16)
    }
  })

  test.each([
    [{ paths: ['*'], path_hash_prefixes: ['0'] }],
    [{ paths: undefined }],
    [{ path_hash_prefixes: ['0G'] }],
    [{ path_hash_prefixes: ['AB'] }],
    [{ path_hash_prefixes: [''] }],
    [{ terminating: 'no' }],
    [{ terminating: undefined }],
    [{ paths: ['*', 1] }],
  ])('a delegation of another form is refused: %j', async how => {
    const repository = new Repository()
    repository.delegate('targets', 'a', JSON.parse(JSON.stringify(how)) as object)
    const [role] = repository.targets['delegations'].roles as Record<string, unknown>[]
    for (const [name, value] of Object.entries(how)) if (value === undefined) delete role?.[name]
    repository.next()
    expect(await new Client(repository.firstRoot).exit(repository.files)).toBe(16)
  })

  test('what was kept is not asked for again, and had again where it is damaged', async () => {
    const repository = new Repository()
    repository.delegate('targets', 'a')
    repository.list('x', 'x', 'a')
    repository.next()
    const client = new Client(repository.firstRoot)
    await client.find(repository.files, 'x')
    await client.find(repository.files, 'x')
    expect(client.asked).toEqual(['2.root.json', 'timestamp.json'])
    client.kept['delegated/2.a.json'] = Buffer.from('{')
    expect((await client.find(repository.files, 'x'))?.role).toBe('a')
    expect(client.asked).toEqual(['2.root.json', 'timestamp.json', '2.a.json'])
  })

  test('without consistent snapshots files have no versions in their names', async () => {
    const repository = new Repository({ isConsistent: false })
    repository.delegate('targets', 'a')
    repository.list('x', 'x', 'a')
    repository.next()
    const client = new Client(repository.firstRoot)
    expect((await client.find(repository.files, 'x'))?.role).toBe('a')
    expect(client.asked).toEqual([
      '2.root.json',
      'timestamp.json',
      'snapshot.json',
      'targets.json',
      'a.json',
    ])
  })
})

describe('bins (TAP 15)', () => {
  test('the first bits of the hash of a path name its bin', () => {
    const hash = sha256('se/rd/serde')
    expect(hash.slice(0, 8)).toBe('2a0b27be')
    expect(binOf({ bitLength: 1, prefix: 'b' }, hash)).toBe('b-0')
    expect(binOf({ bitLength: 4, prefix: 'b' }, hash)).toBe('b-2')
    expect(binOf({ bitLength: 8, prefix: 'b' }, hash)).toBe('b-2a')
    // 0010 1010 000: eleven bits
    expect(binOf({ bitLength: 11, prefix: 'b' }, hash)).toBe('b-150')
    expect(binOf({ bitLength: 16, prefix: 'b' }, hash)).toBe('b-2a0b')
  })

  test('each path is asked of its bin alone', async () => {
    const repository = new Repository()
    repository.divide('targets', 'bin', 3)
    for (const path of ['a', 'b', 'c', 'd', 'e']) {
      repository.list(path, path, binOf({ bitLength: 3, prefix: 'bin' }, sha256(path)))
    }
    repository.next()
    const client = new Client(repository.firstRoot)
    for (const path of ['a', 'b', 'c', 'd', 'e']) {
      const bin = binOf({ bitLength: 3, prefix: 'bin' }, sha256(path))
      expect((await client.find(repository.files, path))?.role).toBe(bin)
    }
    expect(await client.find(repository.files, 'nothing')).toBeUndefined()
  })

  test.each([0, 17, -1, '4', null])('a bit_length of %s is refused', async bitLength => {
    const repository = new Repository()
    repository.divide('targets', 'bin', 1)
    repository.targets['delegations'].succinct_roles.bit_length = bitLength
    repository.next()
    expect(await new Client(repository.firstRoot).exit(repository.files)).toBe(16)
  })
})

describe('path patterns', () => {
  test.each([
    ['*', 'x', true],
    ['*', 'x/y', false],
    ['*/*', 'x/y', true],
    ['foo-?.tgz', 'foo-1.tgz', true],
    ['foo-?.tgz', 'foo-12.tgz', false],
    ['*.tgz', 'a.tgz', true],
    ['*.tgz', '.tgz', true],
    ['a*b*c', 'aXbYc', true],
    ['a*b*c', 'acb', false],
    ['?', '💎', true],
    ['A', 'a', false],
    ['{a,b}', 'a', false],
    ['!(x)', 'y', false],
    ['#x', '#x', true],
    ['[ab]', 'a', false],
    ['', '', true],
  ] as const)('%s and %s: %s', (pattern, path, expected) => {
    expect(matchesPattern(pattern, path)).toBe(expected)
  })

  test('matches what the same pattern as a regular expression does', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.'), maxLength: 12 })
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '?'), maxLength: 8 })
    fc.assert(
      fc.property(pattern, text, (pattern, text) => {
        const source = pattern.replaceAll('*', '[^/]*').replaceAll('?', '[^/]')
        expect(matchesPattern(pattern, text)).toBe(new RegExp(`^${source}$`).test(text))
      }),
      { numRuns: 5000 },
    )
  })

  test('32: a pattern made to be slow is not: one that tries all ways would never come back', () => {
    expect(matchesPattern('*a'.repeat(2000), `${'a'.repeat(4000)}b`)).toBe(false)
  })
})
