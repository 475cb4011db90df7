import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { binOf } from '../../src/trust/bins.ts'
import type { Found } from '../../src/trust/search.ts'
import { Client } from './client.ts'
import { key, Repository } from './repository.ts'

const all = (): boolean => true

async function listed(repository: Repository): Promise<ReadonlyMap<string, Found>> {
  repository.next()
  const cycle = await new Client(repository.firstRoot).follow(repository.files)
  return await cycle.enumerate(all)
}

async function refusal(repository: Repository): Promise<string> {
  return await listed(repository).then(
    () => 'accepted',
    error => (error as { code: string }).code,
  )
}

describe('a whole repository', () => {
  test('flat, delegated, hashed and succinct: each path from its role', async () => {
    const flat = new Repository()
    flat.list('se/rd/serde', 'x')
    expect([...(await listed(flat)).keys()]).toEqual(['index-tree', 'se/rd/serde'])

    const paths = Array.from({ length: 50 }, (_, n) => `cr/at/crate-${n}`)
    const hashed = new Repository()
    for (const digit of '0123456789abcdef') {
      hashed.delegate('targets', `bin-${digit}`, { path_hash_prefixes: [digit] })
    }
    for (const path of paths) hashed.list(path, path, `bin-${sha256(path)[0]}`)
    const succinct = new Repository()
    succinct.divide('targets', 'bin', 4)
    for (const path of paths)
      succinct.list(path, path, binOf({ bitLength: 4, prefix: 'bin' }, sha256(path)))
    for (const repository of [hashed, succinct]) {
      const found = await listed(repository)
      expect(found.size).toBe(51)
      for (const path of paths) {
        expect(found.get(path)?.target.hashes.sha256).toBe(sha256(path))
        expect(found.get(path)?.role).toBe(`bin-${sha256(path)[0]}`)
      }
    }
  })

  test('35: a bin that lists the path of another is refused, whichever way the bins are named', async () => {
    const path = 'se/rd/serde'
    const wrong = sha256(path)[0] === '0' ? '1' : '0'
    const succinct = new Repository()
    succinct.divide('targets', 'bin', 4)
    succinct.list(path, 'x', `bin-${wrong}`)
    expect(await refusal(succinct)).toBe('signature')
    const hashed = new Repository()
    for (const digit of '0123456789abcdef') {
      hashed.delegate('targets', `bin-${digit}`, { path_hash_prefixes: [digit] })
    }
    hashed.list(path, 'x', `bin-${wrong}`)
    expect(await refusal(hashed)).toBe('signature')
  })

  test('a role outside its paths lists nothing, and is no error', async () => {
    const repository = new Repository()
    repository.delegate('targets', 'a', { paths: ['a/*'] })
    repository.list('a/x', 'x', 'a')
    repository.list('b/x', 'x', 'a')
    expect([...(await listed(repository)).keys()]).toEqual(['index-tree', 'a/x'])
  })

  test('a role that one delegator vouches for and another does not is refused', async () => {
    const repository = new Repository()
    repository.delegate('targets', 'a')
    repository.delegate('targets', 'b')
    repository.delegate('a', 'shared', {}, [key(8)])
    repository.delegate('b', 'shared', {}, [key(9)])
    expect(await refusal(repository)).toBe('signature')
  })

  test('what is unchanged is not asked for again', async () => {
    const repository = new Repository()
    repository.divide('targets', 'bin', 3)
    repository.next()
    const client = new Client(repository.firstRoot)
    await (await client.follow(repository.files)).enumerate(all)
    expect(client.asked.filter(file => file.includes('bin-'))).toHaveLength(8)
    for (const part of [repository.timestamp, repository.snapshot]) part['version'] += 1
    const bin = repository.delegated['bin-5'] as Record<string, number>
    bin['version'] = 3
    repository.publish()
    await (await client.follow(repository.files)).enumerate(all)
    expect(client.asked.filter(file => file.includes('bin-'))).toEqual(['3.bin-5.json'])
  })
})

const PATHS = ['a', 'b', 'a/a', 'a/b', 'b/a', 'b/b']
const PATTERNS = ['*', 'a', 'b', '*/*', 'a/*', '*/b', '?/a']
const ROLES = ['r0', 'r1', 'r2', 'r3', 'r4']

test('enumeration is search, for every path of random graphs', { timeout: 120_000 }, async () => {
  const edge = fc.record({
    from: fc.constantFrom('targets', ...ROLES),
    to: fc.constantFrom(...ROLES),
    terminating: fc.boolean(),
    paths: fc.uniqueArray(fc.constantFrom(...PATTERNS), { maxLength: 3 }),
  })
  const graph = fc.record({
    edges: fc.uniqueArray(edge, { maxLength: 10, selector: ({ from, to }) => `${from} ${to}` }),
    lists: fc.array(fc.tuple(fc.constantFrom('targets', ...ROLES), fc.constantFrom(...PATHS)), {
      maxLength: 12,
    }),
  })
  await fc.assert(
    fc.asyncProperty(graph, async ({ edges, lists }) => {
      const repository = new Repository()
      for (const { from, to, terminating, paths } of edges) {
        repository.delegate(from, to, { terminating, paths })
      }
      for (const [role, path] of lists) repository.list(path, `${role} ${path}`, role)
      repository.next()
      const cycle = await new Client(repository.firstRoot).follow(repository.files)
      const found = await cycle.enumerate(all)
      for (const path of PATHS) expect(found.get(path)?.role).toBe((await cycle.find(path))?.role)
    }),
    { numRuns: 150 },
  )
})
