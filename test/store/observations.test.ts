import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { test as base, expect } from 'vitest'
import type { Checksum } from '../../src/registry/checksum.ts'
import type { IndexPath } from '../../src/registry/sparse-path.ts'
import { Observations, type Observed } from '../../src/store/observations.ts'
import type { Writer } from '../../src/store/writer.ts'
import { History } from '../history.ts'

const SERDE = 'se/rd/serde' as IndexPath
const TOKIO = 'to/ki/tokio' as IndexPath
const LOG = '3/l/log' as IndexPath
const A = 'a'.repeat(64) as Checksum
const B = 'b'.repeat(64) as Checksum
const seen = (at: number, sha256: Checksum | undefined = A): Observed => ({
  at,
  length: 100,
  sha256,
  etag: '"x"',
  lastModified: 'Thu, 26 Nov 2026 12:00:00 GMT',
})

/** One who holds the lock of a mirror; each `new Observations` is another process's. */
const test = base.extend('at', async ({}, { onCleanup }) => {
  const history = await History.begin()
  onCleanup(() => history[Symbol.asyncDispose]())
  return {
    file: history.at('state/observed.jsonl'),
    run: (work: (writer: Writer) => Promise<void>) => history.asRun(({ writer }) => work(writer)),
  }
})

test('what was seen is there again, the last look of each path, and what is forgotten is not', async ({
  at,
}) => {
  await at.run(async writer => {
    const first = new Observations(writer)
    first.set(SERDE, seen(1))
    first.set(TOKIO, seen(1))
    first.set(SERDE, seen(2, B))
    first.set(LOG, { at: 3, length: 0, sha256: undefined })
    expect(first.get(SERDE)).toEqual(seen(2, B))
    first.flush()
    first.forget(TOKIO)
    expect(first.has(TOKIO)).toBe(false)
    await first.close()
    expect(first.get(SERDE)).toEqual(seen(2, B))

    const second = new Observations(writer)
    expect([...second.paths()].sort()).toEqual([LOG, SERDE])
    expect(second.get(SERDE)).toEqual(seen(2, B))
    expect(second.get(LOG)).toEqual({ at: 3, length: 0, sha256: undefined })
    expect(second.get(TOKIO)).toBeUndefined()
    second.set(TOKIO, seen(4))
    expect(second.get(TOKIO)).toEqual(seen(4))
    expect(second.size).toBe(3)
  })
})

test('thousands of looks are appended by the hundred, and old lines go in the end', async ({
  at,
}) => {
  await at.run(async writer => {
    const paths = Array.from({ length: 1500 }, (_, n) => `cr/at/crate-${n}` as IndexPath)
    const first = new Observations(writer)
    for (const path of paths) first.set(path, seen(1))
    // so many are on the disk whatever happens now
    expect(new Observations(writer).size).toBe(1500)
    await first.close()
    for (const time of [2, 3, 4]) {
      const again = new Observations(writer)
      for (const path of paths) again.set(path, seen(time, B))
      expect(again.get(paths[0] as IndexPath)).toEqual(seen(time, B))
      await again.close()
    }
    const lines = readFileSync(at.file, 'utf8').trimEnd().split('\n')
    expect(lines.length).toBeLessThan(3 * paths.length)
    const last = new Observations(writer)
    expect(last.size).toBe(paths.length)
    for (const path of paths) expect(last.get(path)).toEqual(seen(4, B))
  })
})

test('a file that is lost is an empty cache', async ({ at }) => {
  await at.run(async writer => {
    const first = new Observations(writer)
    first.set(SERDE, seen(1))
    await first.close()
    expect(first.get(SERDE)).toEqual(seen(1))
    rmSync(at.file)
    expect(first.get(SERDE)).toEqual({ at: 0, length: 0, sha256: undefined })
    expect(new Observations(writer).size).toBe(0)
  })
})

test('a torn last line counts for nothing, and swallows nothing', async ({ at }) => {
  await at.run(async writer => {
    const first = new Observations(writer)
    first.set(SERDE, seen(1))
    await first.close()
    const whole = readFileSync(at.file, 'utf8')
    appendFileSync(at.file, whole.replace('serde', 'tokio').slice(0, 60))
    const second = new Observations(writer)
    expect([...second.paths()]).toEqual([SERDE])
    second.set(LOG, seen(2))
    await second.close()
    const third = new Observations(writer)
    expect(third.get(SERDE)).toEqual(seen(1))
    expect(third.get(LOG)).toEqual(seen(2))
  })
})

test.for<[string, string]>([
  ['no JSON', '["se/rd/serde",1,100,"aaa\n'],
  ['another form', '["se/rd/serde"  ,"a",100,null,null,null]\n'],
  ['a negative time', `["se/rd/serde",-1,100,"${A}",null,null]\n`],
  ['a time that is none', `["se/rd/serde",1e300,100,"${A}",null,null]\n`],
  ['a short checksum', '["se/rd/serde",9,100,"abc",null,null]\n'],
])('of a line with %s only the name counts: it is asked for anew', async ([, line], { at }) => {
  await at.run(async writer => {
    writeFileSync(at.file, `["se/rd/serde",1,100,"${A}",null,null]\n${line}`)
    const never = { at: 0, length: 0, sha256: undefined }
    expect(new Observations(writer).get(SERDE)).toEqual(never)
  })
})

test('names that are none, and what is no line at all, are passed over', async ({ at }) => {
  await at.run(async writer => {
    const odd = [
      `["../../etc/x",1,100,"${A}",null,null]`,
      `["se/rd/tokio",1,100,"${A}",null,null]`,
      '',
      '\0\0\0\0',
      '{"a":1}',
      '["',
      `[${'"x'.repeat(100)}`,
    ]
    writeFileSync(at.file, `${odd.join('\n')}\n["to/ki/tokio",1,100,"${A}",null,null]\n`)
    expect([...new Observations(writer).paths()]).toEqual([TOKIO])
  })
})
