import { expect, test } from 'vitest'
import { routeOf } from '../../src/serve/routes.ts'

const SHA = 'ab'.repeat(32)

test.each([
  ['/', 'page'],
  ['/api/status', 'status'],
  ['/api/v1/crates?q=serde&per_page=10', 'search'],
  ['/api/v1/crates?', 'search'],
  ['/metrics', 'metrics'],
  ['/assets/page.css', 'asset'],
  ['/index/config.json', 'config'],
  ['/index/1/a', 'index file'],
  ['/index/2/ab', 'index file'],
  ['/index/3/a/abc', 'index file'],
  ['/index/se/rd/serde', 'index file'],
  ['/index/se/rd/serde_json', 'index file'],
  [`/index/se/rd/${SHA}.serde`, 'index file by hash'],
  [`/index/3/a/${SHA}.abc`, 'index file by hash'],
  [`/crates/se/rd/${SHA}.crate`, 'artifact'],
  [`/crates/3/a/${SHA}.crate`, 'artifact'],
  [`/crates/1/${SHA}.crate`, 'artifact'],
  ['/crates/serde/serde-1.0.0.crate', 'version'],
  ['/crates/serde-json/serde-json-1.0.0-rc.1+a.b.crate', 'version'],
  ['/api/v1/crates/serde/1.0.0/download', 'version'],
  ['/api/v1/crates/serde/1.0.0%2Ba/download', 'version'],
  [`/tuf/${SHA}.index-tree`, 'tile'],
  [`/tuf/tree/${SHA}.2`, 'tile'],
  [`/tuf/tree/${SHA}.2a`, 'tile'],
  [`/tuf/tree/2a/${SHA}.2a0`, 'tile'],
  ['/tuf/timestamp.json', 'metadata'],
  ['/tuf/1.root.json', 'metadata'],
  ['/tuf/12.snapshot.json', 'metadata'],
  ['/site/3.targets.json', 'metadata'],
])('%s is %s', (target, kind) => {
  expect(routeOf(target).kind).toBe(kind)
})

test('a version is found with its plus spelled either way, and a plus is no space', () => {
  for (const plus of ['+', '%2B', '%2b']) {
    const route = routeOf(`/api/v1/crates/Alpha/1.0.0${plus}b/download`)
    expect(route).toEqual({ kind: 'version', crate: 'Alpha', version: '1.0.0+b' })
  }
})

test.each([
  // climbing out, spelled in every way that a decoder would undo
  '/..',
  '/../state/marker',
  '/index/../../state/marker',
  '/index/..%2f..%2fstate/marker',
  '/index/%2e%2e/%2e%2e/state/marker',
  '/index/%252e%252e/state/marker',
  '/index/.%2e/state/marker',
  '/index/se/rd/./serde',
  '/index\\..\\state',
  '/tuf/..;/state/marker',
  '/tuf/tree/../../../state/marker',
  `/tuf/tree/../${SHA}.2a0`,
  // empty segments, and what clients take for another host
  '//evil.example/x',
  '//index/se/rd/serde',
  '/index//se/rd/serde',
  '/index/se/rd/serde/',
  '/index/',
  // characters that no name has
  '/index/se/rd/serde%00',
  '/index/se/rd/serde%0d%0aX:1',
  '/index/se/rd/serde?x=1',
  '/index/se/rd/serde#x',
  '/index/se/rd/serde;x',
  '/index/se/rd/ser:de',
  '/index/se/rd/sérde',
  '/?x',
  `/index/${'a'.repeat(256)}`,
  // names that are not exactly the ones a mirror gives
  '/index/se/rd/Serde',
  '/index/se/rx/serde',
  '/index/serde',
  '/index/config.json/x',
  '/Index/config.json',
  `/index/se/rd/${SHA.toUpperCase()}.serde`,
  `/index/se/rd/${SHA}.tokio`,
  `/index/se/rd/${SHA}-serde`,
  `/crates/se/rd/${SHA.slice(1)}.crate`,
  `/crates/se/rd/${SHA}.crate.gz`,
  `/crates/SE/rd/${SHA}.crate`,
  `/crates/se/${SHA}.crate`,
  '/crates/serde/serde-1.0.crate',
  '/crates/serde/tokio-1.0.0.crate',
  '/crates/serde/serde-1.0.0',
  '/crates/x/serde/serde-1.0.0.crate',
  '/api/v1/crates/serde/1.0.0/download/x',
  '/api/v2/crates/serde/1.0.0/download',
  '/api/v1/crates/serde/1.0.0',
  '/api/v1/crates',
  '/api/v1/crates/?q=serde',
  '/api/status?q=serde',
  `/tuf/tree/2b/${SHA}.2a0`,
  `/tuf/tree/${SHA}.2a0`,
  `/tuf/tree/2a/${SHA}.2a`,
  `/tuf/tree/2A/${SHA}.2A0`,
  `/site/${SHA}.index-tree`,
  '/tuf/root.json',
  '/tuf/0.root.json',
  '/tuf/01.root.json',
  '/tuf/1.timestamp.json',
  '/tuf/1.mirrors.json',
  '/site/tree/timestamp.json',
  '/state/marker',
  '/crateferry.toml',
  '/public/index/config.json',
])('%j is nothing that is here', target => {
  expect(routeOf(target)).toEqual({ kind: 'unknown' })
})

test.each(['', '*', 'index/config.json', 'http://a/index/config.json', 'a:80'])(
  '%j is no path',
  target => {
    expect(routeOf(target)).toEqual({ kind: 'malformed' })
  },
)
