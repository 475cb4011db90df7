import { expect } from 'vitest'
import { crateFile } from './plain-mirror.ts'
import { test } from './serving.ts'

const one = (name: string, ...versions: string[]) =>
  crateFile(name, ...versions.map(version => ({ version, artifact: `${name} ${version}` })))

const CRATES = [
  one('serde', '1.0.0', '2.0.0-rc.1', '1.10.0', '1.9.0'),
  one('serde_json', '1.0.0'),
  one('serde-hjson', '0.1.0'),
  one('my-serde', '3.0.0-alpha'),
  one('tokio', '1.0.0'),
]

test('the very name comes first, then what begins so, then what holds it; shorter ones before', async ({
  mirror,
  start,
}) => {
  for (const crate of CRATES) mirror.shown(crate)
  mirror.publish(1, CRATES)
  const serving = await start()
  const found = async (query: string) =>
    JSON.parse((await serving.ask(`api/v1/crates?${query}`))[1])
  expect(await found('q=serde&per_page=10')).toEqual({
    crates: [
      { name: 'serde', max_version: '1.10.0' },
      { name: 'serde_json', max_version: '1.0.0' },
      { name: 'serde-hjson', max_version: '0.1.0' },
      { name: 'my-serde', max_version: '3.0.0-alpha' },
    ],
    meta: { total: 4 },
  })
  const names = async (query: string) =>
    (await found(query)).crates.map(({ name }: { name: string }) => name)
  expect(await names('q=SERDE-json')).toEqual(['serde_json'])
  expect(await names('q=json+serde')).toEqual(['serde_json', 'serde-hjson'])
  expect(await names('q=serde&per_page=1')).toEqual(['serde'])
  expect(await names('q=nothing')).toEqual([])
  expect(await names('')).toHaveLength(5)
  for (const odd of ['per_page=-4&q=tokio', 'per_page=x&q=tokio', 'q=tokio&q=serde&per_page=1e9']) {
    expect(await names(odd)).toEqual(['tokio'])
  }
  expect(await names('q=../../etc/passwd%00')).toEqual([])
})

test('what is found is of the snapshot that is published then', async ({ mirror, start }) => {
  const serving = await start()
  const total = async () =>
    JSON.parse((await serving.ask('api/v1/crates?q=o'))[1]).meta.total as number
  expect(await total()).toBe(0)
  const [first, second] = [one('tokio', '1.0.0'), one('tower', '1.0.0')]
  for (const crate of [first, second]) mirror.shown(crate)
  mirror.publish(1, [first])
  expect(await total()).toBe(1)
  mirror.publish(2, [first, second])
  expect(await total()).toBe(2)
})
