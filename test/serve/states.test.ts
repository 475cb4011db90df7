import { mkdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { indexFile, indexFileByHash, LANDING, NEXT, PUBLISHED } from '../../src/store/layout.ts'
import type { Absent, Held } from '../../src/store/snapshot.ts'
import { type CrateFile, crateFile } from './plain-mirror.ts'
import { test } from './serving.ts'

const OLD = crateFile('serde', { version: '1.0.0', artifact: 'one' })
const NEW = crateFile(
  'serde',
  { version: '1.0.0', artifact: 'one' },
  { version: '1.0.1', artifact: 'two' },
)
const held = (have: CrateFile | undefined, reason: string): Held => ({
  have: have?.checksum ?? null,
  want: NEW.checksum,
  reason,
  since: '2026-11-25T00:00:00Z',
  tries: 1,
})
const byHash = ({ path, checksum }: CrateFile): string =>
  indexFileByHash(path, checksum).replace('public/', '')

test('a held crate keeps its old index file under its path, and the new one by hash', async ({
  mirror,
  start,
}) => {
  mirror.shown(OLD)
  mirror.byHash(NEW)
  mirror.publish(2, [NEW], { held: { [NEW.path]: held(OLD, 'serde@1.0.1: status 500') } })
  const serving = await start()
  expect(await serving.ask('index/se/rd/serde')).toEqual([200, OLD.text])
  expect(await serving.ask(byHash(NEW))).toEqual([200, NEW.text])
  expect(await serving.ask(byHash(OLD))).toEqual([200, OLD.text])
  // the record ends when a snapshot without it is published, and no restart is needed for it
  mirror.publish(3, [NEW])
  expect(await serving.ask('index/se/rd/serde')).toEqual([200, NEW.text])
})

test('the artifact of a held crate is answered 503 with the reason, and no Retry-After', async ({
  mirror,
  start,
}) => {
  mirror.shown(OLD)
  mirror.byHash(NEW)
  mirror.publish(2, [NEW], { held: { [NEW.path]: held(OLD, 'serde@1.0.1: two\nlines') } })
  const serving = await start()
  const path = mirror.artifactName(NEW, 'two').replace('public/', '')
  const answer = await serving.get(path)
  expect(answer.status).toBe(503)
  expect(answer.headers.get('retry-after')).toBeNull()
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(await answer.text()).toBe('held: index/se/rd/serde: serde@1.0.1: two lines\n')
  // of another prefix, or named by nothing, it is simply not here
  expect((await serving.get(path.replace('se/rd', '3/s'))).status).toBe(404)
  expect((await serving.get(path.replace(/[0-9a-f]{64}/, '0'.repeat(64)))).status).toBe(404)
})

test('a held crate that never was here has no file under its path', async ({ mirror, start }) => {
  mirror.byHash(NEW)
  mirror.publish(1, [NEW], { held: { [NEW.path]: held(undefined, 'cut') } })
  const serving = await start()
  expect((await serving.ask('index/se/rd/serde'))[0]).toBe(404)
  expect((await serving.ask('api/v1/crates/serde/1.0.1/download'))[0]).toBe(404)
})

test('an artifact its origin has not is answered 404 with the dates, once two sightings agree', async ({
  mirror,
  start,
}) => {
  mirror.shown(NEW)
  const first = '2026-11-25T00:00:00Z'
  const absent = (last: string): Record<string, Absent> => ({
    [sha256('two')]: { crate: 'serde', version: '1.0.1', first, last, status: 410 },
  })
  mirror.publish(2, [NEW], { absent: absent('2026-11-25T02:00:00Z') })
  const serving = await start()
  expect(await serving.ask('api/v1/crates/serde/1.0.1/download')).toEqual([
    404,
    `absent: its origin has no serde@1.0.1: status 410 from ${first} to 2026-11-25T02:00:00Z\n`,
  ])
  mirror.publish(3, [NEW], { absent: absent(first) })
  const [status, line] = await serving.ask('crates/serde/serde-1.0.1.crate')
  expect([status, line.includes('absent')]).toEqual([404, false])
})

test('an artifact in the batch being named is answered 503, and 200 when the batch is done', async ({
  mirror,
  start,
}) => {
  mirror.publish(1, [OLD])
  const path = mirror.artifact(OLD, 'one')
  mirror.landing(mirror.artifactName(OLD, 'one'), mirror.artifactName(OLD, 'not yet'))
  const serving = await start()
  expect((await serving.ask(path))[0]).toBe(503)
  expect((await serving.ask(mirror.artifactName(OLD, 'not yet').replace('public/', '')))[0]).toBe(
    503,
  )
  rmSync(mirror.at(LANDING))
  expect(await serving.ask(path)).toEqual([200, 'one'])
})

test('of a version on two lines the artifact that is here is served', async ({ mirror, start }) => {
  const disputed = crateFile(
    'wright',
    { version: '0.2.2', artifact: 'never had' },
    { version: '0.2.2', artifact: 'true one' },
  )
  mirror.shown(disputed)
  mirror.artifact(disputed, 'true one')
  mirror.publish(1, [disputed])
  const serving = await start()
  expect(await serving.ask('crates/wright/wright-0.2.2.crate')).toEqual([200, 'true one'])
})

test('versions that differ in build metadata alone are told apart', async ({ mirror, start }) => {
  const file = crateFile(
    'openssl-src',
    { version: '110.0.0', artifact: 'plain' },
    { version: '110.0.0+1.1.0f', artifact: 'with f' },
  )
  mirror.shown(file)
  for (const bytes of ['plain', 'with f']) mirror.artifact(file, bytes)
  mirror.publish(1, [file])
  const serving = await start()
  for (const plus of ['+', '%2B', '%2b']) {
    const path = `crates/openssl-src/openssl-src-110.0.0${plus}1.1.0f.crate`
    expect(await serving.ask(path)).toEqual([200, 'with f'])
  }
  expect(await serving.ask('crates/openssl-src/openssl-src-110.0.0.crate')).toEqual([200, 'plain'])
})

describe('while a snapshot is being published', () => {
  test('the old one is shown whole, though the new files are under their paths', async ({
    mirror,
    start,
  }) => {
    const young = crateFile('young', { version: '1.0.0', artifact: 'young' })
    mirror.shown(OLD)
    mirror.publish(1, [OLD])
    const serving = await start()
    mirror.decide(2, [NEW, young])
    for (const file of [NEW, young]) mirror.shown(file)
    expect(await serving.ask('index/se/rd/serde')).toEqual([200, OLD.text])
    expect((await serving.ask('index/yo/un/young'))[0]).toBe(404)
    renameSync(mirror.at(NEXT), mirror.at(PUBLISHED))
    expect(await serving.ask('index/se/rd/serde')).toEqual([200, NEW.text])
    expect(await serving.ask('index/yo/un/young')).toEqual([200, young.text])
  })

  test('on a disk that keeps nothing by hash the old or the new file is served', async ({
    mirror,
    start,
  }) => {
    mirror.byPath(OLD)
    mirror.publish(1, [OLD])
    const serving = await start()
    expect(await serving.ask('index/se/rd/serde')).toEqual([200, OLD.text])
    mirror.byPath(NEW)
    expect((await serving.ask('index/se/rd/serde'))[0]).toBe(500)
    expect(serving.log.at(-1)).toContain(OLD.checksum)
    mirror.decide(2, [NEW])
    expect(await serving.ask('index/se/rd/serde')).toEqual([200, NEW.text])
  })

  test('a file found right for one checksum is not believed for another', async ({
    mirror,
    start,
  }) => {
    mirror.byPath(OLD)
    mirror.publish(1, [OLD])
    const serving = await start()
    expect((await serving.ask('index/se/rd/serde'))[0]).toBe(200)
    mirror.publish(2, [NEW])
    expect((await serving.ask('index/se/rd/serde'))[0]).toBe(500)
  })
})

describe('before the first snapshot', () => {
  test('a crate that appeared is served, its artifact by hash and by name', async ({
    mirror,
    start,
  }) => {
    mirror.shown(OLD)
    const path = mirror.artifact(OLD, 'one')
    const serving = await start()
    expect(await serving.ask('index/se/rd/serde')).toEqual([200, OLD.text])
    expect(await serving.ask(path)).toEqual([200, 'one'])
    expect(await serving.ask('crates/serde/serde-1.0.0.crate')).toEqual([200, 'one'])
    expect((await serving.ask('index/to/ki/tokio'))[0]).toBe(404)
    expect((await serving.ask('tuf/timestamp.json'))[0]).toBe(404)
  })

  test('an index file whose hash is no name here was never verified: 500', async ({
    mirror,
    start,
  }) => {
    mirror.byPath(OLD)
    const serving = await start()
    const [status, line] = await serving.ask('index/se/rd/serde')
    expect([status, line.includes('"cksum"')]).toEqual([500, false])
  })
})

describe('of what was damaged on the disk nothing leaves', () => {
  test('a file named by hash is checked again whenever it was touched', async ({
    mirror,
    start,
  }) => {
    mirror.shown(OLD)
    mirror.publish(1, [OLD])
    const path = mirror.artifact(OLD, 'one')
    const serving = await start()
    expect(await serving.ask(path)).toEqual([200, 'one'])
    writeFileSync(mirror.at(`public/${path}`), 'eno')
    expect((await serving.ask(path))[1]).not.toContain('eno')
    expect((await serving.ask(path))[0]).toBe(500)
    expect(serving.log.at(-1)).toContain(sha256('one'))
    writeFileSync(mirror.at(`public/${path}`), 'one')
    expect(await serving.ask(path)).toEqual([200, 'one'])
  })

  test('an index file, a tile', async ({ mirror, start }) => {
    mirror.shown(OLD)
    mirror.publish(1, [OLD])
    const file = mirror.byHash(OLD)
    const serving = await start()
    writeFileSync(file, OLD.text.replace('1.0.0', '9.9.9'))
    expect((await serving.ask('index/se/rd/serde'))[0]).toBe(500)
    expect((await serving.ask(byHash(OLD)))[0]).toBe(500)
    expect((await serving.ask('crates/serde/serde-9.9.9.crate'))[0]).toBe(500)
    const tile = `tuf/${'0'.repeat(64)}.index-tree`
    mirror.write(`public/${tile}`, 'a tile')
    expect((await serving.ask(tile))[0]).toBe(500)
  })

  test('an index file that the snapshot names and that is gone is 500, not 404', async ({
    mirror,
    start,
  }) => {
    mirror.publish(1, [OLD])
    const serving = await start()
    expect((await serving.ask('index/se/rd/serde'))[0]).toBe(500)
    expect(serving.log.at(-1)).toContain('serde')
  })

  test('a link or a folder in place of a file', async ({ mirror, start }) => {
    mirror.publish(1, [OLD])
    const path = mirror.artifact(OLD, 'one')
    const file = mirror.at(`public/${path}`)
    renameSync(file, `${file}.away`)
    symlinkSync(`${file}.away`, file)
    mkdirSync(mirror.at('public/tuf/timestamp.json'), { recursive: true })
    mirror.byPath(OLD)
    symlinkSync(mirror.at(indexFile(OLD.path)), mirror.at(indexFileByHash(OLD.path, OLD.checksum)))
    const serving = await start()
    for (const one of [path, 'tuf/timestamp.json', 'index/se/rd/serde']) {
      expect((await serving.ask(one))[0], one).toBe(500)
    }
    expect(serving.log).toHaveLength(3)
  })

  test('a published record that is no record refuses every index file', async ({
    mirror,
    start,
  }) => {
    mirror.shown(OLD)
    mirror.write(PUBLISHED, '{}')
    const serving = await start()
    expect((await serving.ask('index/se/rd/serde'))[0]).toBe(500)
    expect((await serving.ask('index/config.json'))[0]).toBe(200)
  })
})

test('serving writes nothing', async ({ mirror, start }) => {
  mirror.shown(OLD)
  const path = mirror.artifact(OLD, 'one')
  mirror.publish(1, [OLD])
  const folders = [`public/${path}`, indexFile(OLD.path), PUBLISHED].map(one => dirname(one))
  const times = (): bigint[] =>
    folders.map(folder => statSync(mirror.at(folder), { bigint: true }).mtimeNs)
  const before = times()
  const serving = await start()
  for (const one of [path, 'index/se/rd/serde', 'index/config.json']) await serving.ask(one)
  expect(times()).toEqual(before)
})
