import { rmSync, writeFileSync } from 'node:fs'
import { test as base, expect } from 'vitest'
import { Contents, type MissingObject } from '../../src/bundle/contents.ts'
import { type Checksum, sha256 } from '../../src/registry/checksum.ts'
import { type IndexPath, prefixOfPath } from '../../src/registry/sparse-path.ts'
import { artifactFile, indexFileByHash } from '../../src/store/layout.ts'
import { readPublished } from '../../src/store/snapshot.ts'
import { History } from '../history.ts'
import { immutableFiles } from '../named-files.ts'

/** A mirror of 70 crates, so that its tree has tiles, and two states of it. */
const test = base.extend('history', async ({}, { onCleanup }) => {
  const history = await History.begin()
  onCleanup(() => history[Symbol.asyncDispose]())
  for (let n = 0; n < 70; n += 1) history.publish(`crate-${n}`)
  return history
})

const treeOf = (history: History): Checksum =>
  readPublished(history.mirror)?.tree ?? expect.fail('nothing is published')
const none = (object: MissingObject): void => expect.fail(JSON.stringify(object))

function isSorted(paths: readonly string[]): boolean {
  return paths.every((path, n) => n === 0 || (paths[n - 1] ?? '') < path)
}

test('with no base a bundle has everything, each kind in the order of its paths', async ({
  history,
}) => {
  history.publish('serde', 'shared')
  history.publish('Serde-Json', 'shared')
  history.publish('serde-json-x')
  const long = 'a'.repeat(64)
  history.publish(long)
  await history.sync()
  const contents = await Contents.of(history.mirror, { target: treeOf(history), base: undefined })
  const objects = [...contents.objects(none)]
  for (const members of [contents.tiles, contents.indexFiles, objects]) {
    expect(isSorted(members.map(({ path }) => path))).toBe(true)
  }
  expect(contents.indexFiles).toHaveLength(74)
  // of the two that share their bytes one comes, at the lower path
  expect(objects).toHaveLength(73)
  expect(objects.filter(({ sha256: hash }) => hash === sha256('shared'))).toMatchObject([
    { path: expect.stringMatching(/^crates\/Serde-Json\//), size: 6 },
  ])
  const files = immutableFiles(history.mirror)
  const tiles = [...files].filter(file => /^public\/tuf\/tree\//.test(file))
  expect(contents.tiles.map(({ path }) => `public/tuf/${path}`).sort()).toEqual(tiles.sort())
})

test('a delta has what the base has not, and no more', async ({ history }) => {
  await history.sync()
  const before = treeOf(history)
  const fresh = history.publish('crate-7')
  history.publish('new-one')
  history.change('crate-9', lines => lines.map(line => ({ ...line, isYanked: true })))
  history.change('crate-11', () => [])
  await history.sync()
  const after = treeOf(history)
  const contents = await Contents.of(history.mirror, { target: after, base: before })
  expect(contents.indexFiles.map(({ path }) => path)).toEqual([
    'index/cr/at/crate-7',
    'index/cr/at/crate-9',
    'index/ne/w-/new-one',
  ])
  const objects = [...contents.objects(none)]
  expect(objects.map(({ path }) => path.split('/')[1])).toEqual(['crate-7', 'new-one'])
  expect(objects[0]?.sha256).toBe(fresh)
  const whole = await Contents.of(history.mirror, { target: after, base: undefined })
  expect(contents.tiles.length).toBeGreaterThan(0)
  expect(contents.tiles.length).toBeLessThan(whole.tiles.length)
  const nothing = await Contents.of(history.mirror, { target: after, base: after })
  expect([nothing.tiles, nothing.indexFiles, [...nothing.objects(none)]]).toEqual([[], [], []])
})

test('an object that is not here, or empty, is told by name', async ({ history }) => {
  const path = 'cr/at/crate-7' as IndexPath
  const checksum = history.publish('crate-7') as Checksum
  await history.sync()
  const contents = await Contents.of(history.mirror, { target: treeOf(history), base: undefined })
  const file = history.at(artifactFile(prefixOfPath(path), checksum))
  for (const lose of [() => writeFileSync(file, ''), () => rmSync(file)]) {
    lose()
    const missing: MissingObject[] = []
    const objects = [...contents.objects(object => missing.push(object))]
    expect(missing).toMatchObject([{ crate: 'crate-7', checksum }])
    expect(objects.map(one => one.sha256)).not.toContain(checksum)
    expect(objects).toHaveLength(70)
  }
})

test('an index file that is damaged ends it, before anything is written of it', async ({
  history,
}) => {
  await history.sync()
  const contents = await Contents.of(history.mirror, { target: treeOf(history), base: undefined })
  const { path, sha256: hash } = contents.indexFiles[3] ?? expect.fail('there are 70')
  const file = indexFileByHash(path.slice('index/'.length) as IndexPath, hash)
  writeFileSync(history.at(file), 'damaged')
  expect(() => [...contents.objects(none)]).toThrow(
    expect.objectContaining({
      code: 'damaged',
      message: `${file} does not match its name; run verify --repair`,
    }),
  )
})
