import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BAGIT_TXT,
  bagGroup,
  bagInfoText,
  bagName,
  isBagName,
  readmeText,
} from '../../src/bundle/bag.ts'
import {
  type Bundle,
  bundleBytes,
  bundleIdOf,
  type Plan,
  readBundle,
} from '../../src/bundle/bundle-json.ts'
import { type Manifest, manifestBytes, readManifest, readSeal } from '../../src/bundle/manifest.ts'
import { type Checksum, sha256 } from '../../src/registry/checksum.ts'

const A = 'a'.repeat(64) as Checksum
const NOTHING = sha256('')

/** The plan of the first test vector. */
const PLAN: Plan = {
  absent: [],
  base: {
    targets: 137,
    tree: 'b154f619f18d6cbe104c878dec5bcccec388965b7a5063d5b4bb10da60eaa252' as Checksum,
  },
  prerequisites: { count: 0, sha256: NOTHING },
  target: {
    entries: 65,
    root: 2,
    snapshot: 160,
    targets: 151,
    timestamp: 4021,
    tree: 'ee0f7f2b78dbe7888c9ee4602b7b31390e85666db1d17d68bdb70189f4312113' as Checksum,
  },
  volumeSize: 1_073_741_824,
  volumes: [
    {
      bytes: 3072,
      file: 'crates-00001',
      first: 'crates/serde-json/serde-json-1.0.0.crate',
      last: 'crates/serde/serde-1.0.0.crate',
      members: 2,
    },
  ],
  want: null,
}
const BUNDLE = { plan: PLAN, media: [1], tool: 'test', createdAt: '2026-09-01T00:00:00Z' }
const TEXT = bundleBytes(BUNDLE).toString()

test('a plan has the name of the test vector', () => {
  expect(bundleIdOf(PLAN)).toBe('e220a4e78602f71a6a2262253e30f937987051f9f9dd0d4df368f4a2efa91955')
})

test('bundle.json, bag-info.txt and bagit.txt have the bytes of the bag of the test vectors', () => {
  const volumes = [
    {
      bytes: 4096,
      file: 'index-00001',
      first: 'index/3/o/one',
      last: 'index/si/xt/sixty-four-letters-long-crate-name-for-a-test-vector-of-a-volume',
      members: 3,
    },
    {
      bytes: 5120,
      file: 'crates-00001',
      first: 'by-hash/04efaf080f5a3e74e1c29d1ca6a48569382cbbcd324e8d59d2b83ef21c039f00.crate',
      last: 'crates/two/two-1.1.0.crate',
      members: 4,
    },
  ]
  const tree = 'dfe5339a711fecbefbf70118aca83ffdab64b88409f4aa13f710c1c9cf919b6a' as Checksum
  const target = { entries: 3, root: 1, snapshot: 1, targets: 1, timestamp: 1, tree }
  const plan = { ...PLAN, base: null, target, volumes }
  const createdAt = '2026-09-01T00:00:00Z'
  const bytes = bundleBytes({ plan, media: [1, 1], tool: 'vectors', createdAt })
  expect(sha256(bytes)).toBe('b25dd6d2d6036f0efda05f3ac2b3fc2f57f67315175804bde57b3c21ca48f10d')
  const { bundleId } = readBundle(bytes, 'bundle.json')
  expect(bagName({ plan }, { kind: 'medium', number: 1 })).toBe('cf-000001-f000000-m01')
  const info = bagInfoText({
    bundleId,
    medium: 1,
    media: 1,
    files: 9,
    bytes: 14_127,
    date: '2026-09-01',
    agent: 'vectors',
  })
  expect(sha256(info)).toBe('14a2424578e585592c4b023f6cf7d4e735fa43553d94bc3415be2a122afe3cd8')
  expect(bagGroup(info)).toBe(bundleId)
  expect(sha256(BAGIT_TXT)).toBe('1712ecfb074bf29c4188ad3421032509159a09739fd604f8fe57038b4ddefcc9')
})

test('what is written is read', () => {
  expect(readBundle(Buffer.from(TEXT), 'bundle.json')).toEqual({
    ...BUNDLE,
    bundleId: bundleIdOf(PLAN),
  })
})

const changed = (from: string | RegExp, to: string): string => {
  const text = TEXT.replace(from, to)
  expect(text).not.toBe(TEXT)
  return text
}
/** Canonical, and named by its own plan, whatever stands in it. */
const of = (plan: Partial<Plan>, more: Partial<Omit<Bundle, 'bundleId'>> = {}): string =>
  bundleBytes({ ...BUNDLE, plan: { ...PLAN, ...plan }, ...more }).toString()
const [volume] = PLAN.volumes

test.for<[string, string, RegExp]>([
  ['nothing', '', /^bundle\.json: /],
  ['another plan under its name', changed('"volumeSize":1073741824', '"volumeSize":1'), /bundleId/],
  ['spaces', changed('{"bundleId"', '{ "bundleId"'), /not canonical/],
  ['keys in another order', changed(/"want":null\}/, '"want":null }'), /not canonical/],
  ['no newline at its end', TEXT.trimEnd(), /not canonical/],
  ['two newlines', `${TEXT}\n`, /not canonical/],
  ['a key twice', changed('"format":1', '"format":1,"format":1'), /twice|duplicate|again/],
  ['a field nobody knows', changed('"format":1', '"format":1,"more":1'), /not in the form/],
  ['__proto__', changed('"format":1', '"__proto__":{},"format":1'), /not in the form/],
  ['a number with a point', changed('"volumeSize":1073741824', '"volumeSize":1.5'), /byte \d+/],
  ['a number of 2^53', changed('"timestamp":4021', '"timestamp":9007199254740993'), /byte \d+/],
  ['a depth of a million', '['.repeat(1_000_000), /byte \d+/],
  ['a text with an escape', changed('"tool":"test"', '"tool":"te\\u0073t"'), /not canonical/],
  ['a long tool', of({}, { tool: 'x'.repeat(65) }), /not in the form/],
  ['no date', of({}, { createdAt: 'yesterday' }), /not in the form/],
  ['an array', '[]\n', /not an object/],
  ['no format', changed('"format":1,', ''), /has no format/],
  ['media for another number of volumes', of({}, { media: [1, 1] }), /2 media numbers for 1/],
  ['media from 2 on', of({}, { media: [2] }), /not numbered from 1/],
  ['a volume that is none', of({ volumes: [{ ...volume, file: 'crates-1' } as never] }), /form/],
  [
    'a first volume of number 2',
    of({ volumes: [{ ...volume, file: 'crates-00002' } as never] }),
    /order/,
  ],
  [
    'a kind before its time',
    of(
      {
        volumes: [
          volume as never,
          {
            bytes: 1024,
            file: 'index-00001',
            first: 'index/3/l/log',
            last: 'index/3/l/log',
            members: 1,
          },
        ],
      },
      { media: [1, 1] },
    ),
    /index-00001 is out of order/,
  ],
  [
    'a way up',
    of({ volumes: [{ ...volume, last: 'crates/../x-1.0.0.crate' } as never] }),
    /no member of crates/,
  ],
  [
    'members that begin where they end',
    of({ volumes: [{ ...volume, last: volume?.first } as never] }),
    /do not agree with their number/,
  ],
  [
    'absent objects out of order',
    of({
      absent: [
        { path: 'crates/b/b-1.0.0.crate', sha256: A },
        { path: 'crates/a/a-1.0.0.crate', sha256: A },
      ],
    }),
    /absent objects are out of order/,
  ],
])('a bundle.json with %s is refused', ([, text, says]) => {
  const read = (): unknown => readBundle(Buffer.from(text), 'bundle.json')
  expect(read).toThrow(says)
  expect(read).toThrow(expect.objectContaining({ code: 'refused' }))
})

test('10 GB are not read, and no more than 4 MiB are parsed', () => {
  const bytes = Buffer.alloc(4 * 1024 * 1024 + 1, ' ')
  expect(() => readBundle(bytes, 'bundle.json')).toThrow(/longer than 4194304 bytes/)
})

test('a newer format is named, whatever else it has', () => {
  const read = (): unknown => readBundle(Buffer.from('{"format":2,"new":{}}\n'), 'bundle.json')
  expect(read).toThrow('bundle.json: bundle format 2, this program reads 1')
  expect(read).toThrow(expect.objectContaining({ code: 'no-mirror' }))
})

test('a bundle.json changed in any byte is refused, or differs in what nothing is decided by', () => {
  const bytes = Buffer.from(TEXT)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const other = Buffer.from(bytes)
      other[at] = (other[at] ?? 0) ^ change
      let read: Bundle
      try {
        read = readBundle(other, 'bundle.json')
      } catch (error) {
        expect(['refused', 'no-mirror']).toContain((error as { code: string }).code)
        return
      }
      expect(read.plan).toEqual(PLAN)
      expect(bundleBytes(read)).toEqual(other)
    }),
    { numRuns: 2000 },
  )
})

test('the folder of a bag says from where to where, for which medium', () => {
  const at = { kind: 'medium', number: 1 } as const
  expect(bagName({ plan: PLAN }, at)).toBe('cf-000151-f000137-m01')
  expect(bagName({ plan: { ...PLAN, want: A } }, { ...at, number: 12 })).toBe(
    'cf-000151-waaaaaaaa-m12',
  )
  expect(bagName({ plan: PLAN }, { kind: 'repetition', number: 1 })).toBe('cf-000151-f000137-r01')
  for (const number of [1, 99, 100])
    expect(isBagName(bagName({ plan: PLAN }, { ...at, number }))).toBe(true)
  for (const name of [
    'cf-000151-f000137-m01.partial',
    'cf-151-f137-m1',
    'photos',
    '../cf-000151-f000137-m01',
  ]) {
    expect(isBagName(name), name).toBe(false)
  }
})

const FILES: Manifest = new Map([
  ['data/crates/crates-00001.idx', sha256('1')],
  ['data/crates/crates-00001.tar', sha256('2')],
  ['data/tuf/1.root.json', sha256('3')],
  ['data/tuf/index-tree', sha256('4')],
  ['data/tuf/timestamp.json', sha256('5')],
])
const LINES = manifestBytes(FILES).toString()

test('a manifest that is written is read, in whatever order its files were known', () => {
  expect(readManifest(Buffer.from(LINES), 'manifest-sha256.txt')).toEqual(FILES)
  expect(manifestBytes(new Map([...FILES].reverse())).toString()).toBe(LINES)
})

test.for<[string, string, RegExp]>([
  ['no newline at its end', LINES.trimEnd(), /last line has no newline/],
  ['carriage returns', LINES.replaceAll('\n', '\r\n'), /line 1: .* is not allowed/],
  ['binary marks', LINES.replace('  data', ' *data'), /line 1: .* is not allowed/],
  ['hashes in capitals', LINES.replace(/[a-f]/, c => c.toUpperCase()), /is not allowed/],
  [
    'a way up',
    LINES.replace('data/tuf/1.root.json', '../../etc/passwd'),
    /line 3: .* is not allowed/,
  ],
  ['an absolute path', LINES.replace('data/tuf/1.root.json', '/etc/passwd'), /line 3: /],
  ['a program', LINES.replace('data/tuf/1.root.json', 'data/tuf/run.exe'), /line 3: /],
  [
    'a volume in another’s folder',
    LINES.replace('crates/crates-00001.idx', 'crates/index-00001.idx'),
    /line 1: /,
  ],
  ['an escape', LINES.replace('data/tuf/index-tree', 'data/tuf/index%2dtree'), /line 4: /],
  ['a file twice', `${LINES.split('\n', 1)[0]}\n${LINES}`, /line 2: .* out of order or twice/],
  [
    'another order',
    `${LINES.split('\n').slice(0, -1).reverse().join('\n')}\n`,
    /line 2: .* out of/,
  ],
  [
    'one line of a gigabyte, cut to 17 MB here',
    'a'.repeat(17 * 1024 * 1024),
    /longer than 16777216/,
  ],
])('a manifest with %s is refused', ([, text, says]) => {
  const read = (): unknown => readManifest(Buffer.from(text), 'manifest-sha256.txt')
  expect(read).toThrow(says)
  expect(read).toThrow(expect.objectContaining({ code: 'refused' }))
})

test('a seal lists the five tag files, and only them', () => {
  const names = ['README.txt', 'bag-info.txt', 'bagit.txt', 'bundle.json', 'manifest-sha256.txt']
  const files: Manifest = new Map(names.map(name => [name, sha256(name)]))
  expect(readSeal(manifestBytes(files), 'tagmanifest-sha256.txt')).toEqual(files)
  const without = new Map([...files].slice(1))
  expect(() => readSeal(manifestBytes(without), 'tagmanifest-sha256.txt')).toThrow(
    'tagmanifest-sha256.txt: README.txt is not listed',
  )
  const more = new Map([...files, ['autorun.inf', A] as const])
  expect(() => readSeal(manifestBytes(more), 'tagmanifest-sha256.txt')).toThrow(/is not allowed/)
})

test('sha256sum takes our manifests, strictly, and the README says how', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-bag-'))
  const cwd = folder.path
  const files = { 'data/tuf/1.root.json': 'root', 'data/crates/crates-00001.tar': 'volume' }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(cwd, dirname(path)), { recursive: true })
    writeFileSync(join(cwd, path), text)
  }
  const sums = Object.entries(files).map(([path, text]) => [path, sha256(text)] as const)
  writeFileSync(join(cwd, 'manifest-sha256.txt'), manifestBytes(new Map(sums)))
  const tags = new Map([['manifest-sha256.txt', sha256(manifestBytes(new Map(sums)))]])
  writeFileSync(join(cwd, 'tagmanifest-sha256.txt'), manifestBytes(tags))
  const command = /^ {2}(sha256sum .*)$/m.exec(readmeText('site'))?.[1] ?? 'false'
  expect(execFileSync('sh', ['-c', command], { cwd, encoding: 'utf8' })).toMatch(
    /^(?:\S+: OK\n){3}$/,
  )
  writeFileSync(join(cwd, 'data/tuf/1.root.json'), 'r00t')
  expect(() => execFileSync('sh', ['-c', command], { cwd, stdio: 'pipe' })).toThrow()
})

test('the README says whose chain it is', () => {
  expect(readmeText('upstream')).toContain(
    'under the chain of its upstream. Nothing here is to be executed.',
  )
  expect(readmeText('site')).toContain('under the chain of the site that made it.')
})
