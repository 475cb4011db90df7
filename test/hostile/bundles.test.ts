import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { bagOn, Courier, copyOf, edit } from '../bundle/carried.ts'
import { member, membersIn, reseal, rewritePlan, rewriteVolume } from '../bundle/tamper.ts'
import { contents } from '../crateferry.ts'

/** The table of attacks and accidents of the bundle format: each with its end, the far side as it was. */

let courier: Courier
/** Media: the first state, whole; from it to the second; the second, whole. */
let [full1, delta, full2] = ['', '', '']
/** Mirrors: pinned only, and with the first state. */
let [empty, first] = ['', '']
let count = 0

beforeAll(async () => {
  courier = await Courier.make()
  full1 = await courier.export('full-1')
  empty = await courier.far('empty')
  first = copyOf(empty, courier.at('first'))
  await courier.import(0, first, [full1])
  await courier.registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.8')
  await courier.registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.9')
  await courier.registry.sign()
  delta = await courier.export('delta', '--base', 'targets:1')
  full2 = await courier.export('full-2')
}, 60_000)

afterAll(async () => {
  await courier[Symbol.asyncDispose]()
})

const CRATES = 'crates-00001'
const volume = (bag: string, ending = 'tar'): string =>
  join(bag, 'data/crates', `${CRATES}.${ending}`)

interface Row {
  readonly is: string
  /** Where it starts: with nothing published, or with the first state. */
  readonly from?: 'empty' | 'first'
  readonly medium?: 'full-1' | 'delta' | 'full-2'
  readonly tamper: (bag: string, medium: string) => void
  readonly exit: number
  readonly says: RegExp
  /** How far the clock is ahead. */
  readonly days?: number
}

const crate = (bag: string, at: number): number => {
  const [offset = ''] = readFileSync(volume(bag, 'idx'), 'utf8').split('\n')[at]?.split('\t') ?? []
  return Number(offset)
}
const flip = (file: string, at: number): void =>
  edit(file, bytes => {
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return bytes
  })
type Members = ReturnType<typeof membersIn>
const changed = (bag: string, change: (members: Members) => Members): void => {
  rewriteVolume(bag, CRATES, change(membersIn(volume(bag))))
  reseal(bag)
}
const members = (bag: string): Members => membersIn(volume(bag))
/** The first header changed, its checksum right. */
const odd = (bag: string, change: (block: Buffer) => void): void => {
  const [one, ...rest] = members(bag)
  if (one === undefined) throw new Error('the volume has members')
  const block = Buffer.from(one.header)
  change(block)
  let sum = 8 * 32
  for (let at = 0; at < 512; at += 1) if (at < 148 || at > 155) sum += block[at] ?? 0
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  rewriteVolume(bag, CRATES, [{ ...one, header: block }, ...rest])
  reseal(bag)
}

const rows: Row[] = [
  {
    is: '1: one flipped bit in an object',
    tamper: bag => flip(volume(bag), 512 + 3),
    exit: 4,
    says: /damaged: crates-00001: crates\/FerryMast\/FerryMast-1\.0\.0\.crate\n/,
  },
  {
    is: '2: one flipped bit in a tar header',
    tamper: bag => flip(volume(bag), crate(bag, 1) + 20),
    exit: 4,
    says: /damaged: crates-00001: crates\/f\/f-1\.0\.0\.crate\n/,
  },
  {
    is: '3a: as 1, manifests corrected',
    tamper: bag => {
      flip(volume(bag), 512 + 3)
      reseal(bag)
    },
    exit: 4,
    says: /damaged: crates-00001: crates\/FerryMast/,
  },
  {
    is: '3b: the hash in the index of the volume too',
    tamper: bag =>
      changed(bag, ([one, ...rest]) => [
        member(one?.path ?? '', Buffer.from('anything else')),
        ...rest,
      ]),
    exit: 16,
    says: /"crates\/FerryMast\/FerryMast-1\.0\.0\.crate" is said to have sha256 [0-9a-f]{64}, the index lists/,
  },
  {
    is: '4: the bytes of two crates swapped',
    tamper: bag =>
      changed(bag, ([one, two, ...rest]) => [
        member(one?.path ?? '', two?.data ?? Buffer.alloc(1)),
        member(two?.path ?? '', one?.data ?? Buffer.alloc(1)),
        ...rest,
      ]),
    exit: 16,
    says: /"crates\/FerryMast\/FerryMast-1\.0\.0\.crate" is said to have sha256 [0-9a-f]{64}, the index lists/,
  },
  {
    is: '5: an older valid version under the name of the new one',
    medium: 'delta',
    from: 'first',
    tamper: bag => {
      const [one, two, ...rest] = members(bag)
      const idx = readFileSync(volume(bag, 'idx'))
      if (one === undefined || two === undefined) throw new Error('there are two')
      expect(one.data.length).toBe(two.data.length)
      rewriteVolume(bag, CRATES, [one, { ...two, data: one.data }, ...rest])
      writeFileSync(volume(bag, 'idx'), idx)
      reseal(bag)
    },
    exit: 16,
    says: /"crates\/ferry-app\/ferry-app-9\.9\.9\.crate" has the bytes of another artifact/,
  },
  {
    is: '6: a whole volume is gone',
    tamper: bag => rmSync(volume(bag)),
    exit: 3,
    says: /not seen: crates-00001 \(medium 1\)/,
  },
  {
    is: '7: a volume cut at the border of a member',
    tamper: bag => truncateSync(volume(bag), crate(bag, 5)),
    exit: 4,
    says: /damaged: crates-00001: its end: \d+ of \d+ bytes are there/,
  },
  {
    is: '7: an empty volume',
    tamper: bag => truncateSync(volume(bag), 0),
    exit: 4,
    says: /the medium was probably removed before writing ended/,
  },
  {
    is: '8: a second archive after the end',
    tamper: bag => {
      edit(volume(bag), bytes => Buffer.concat([bytes, bytes]))
      reseal(bag)
    },
    exit: 16,
    says: /crates-00001: \d+ bytes, the plan has \d+/,
  },
  ...(
    [
      ['a pax header', (b: Buffer) => b.write('x', 156), /type "pax header"/],
      ['a GNU long name', (b: Buffer) => b.write('L', 156), /type "GNU long name"/],
      ['a symbolic link', (b: Buffer) => b.write('2', 156), /type "symbolic link"/],
      ['a hard link', (b: Buffer) => b.write('1', 156), /type "hard link"/],
      ['a device', (b: Buffer) => b.write('4', 156), /type "block device"/],
      ['a FIFO', (b: Buffer) => b.write('6', 156), /type "FIFO"/],
      [
        'a negative size',
        (b: Buffer) => b.write('-0000000001', 124),
        /not in the form of a volume/,
      ],
      ['a size of 8 EiB', (b: Buffer) => b.fill(0xff, 124, 136), /not in the form of a volume/],
      ['a mode of its own', (b: Buffer) => b.write('0000755', 100), /not in the form of a volume/],
    ] as const
  ).map(
    ([is, change, says]): Row => ({
      is: `9, 10, 15: ${is}`,
      tamper: bag => odd(bag, block => void change(block)),
      exit: 16,
      says,
    }),
  ),
  ...[
    ['pax', 'x', '19 path=crates/\0\n\n'],
    ['GNU long name', 'L', 'crates/f/f-1.0.0\n.crate\0'],
  ].map(
    ([is = '', type = '', data = '']): Row => ({
      is: `9: a ${is} with NUL and newline`,
      tamper: bag => {
        const [one, ...rest] = members(bag)
        if (one === undefined) throw new Error('there is one')
        one.data.write(data)
        const idx = readFileSync(volume(bag, 'idx'))
        rewriteVolume(bag, CRATES, [one, ...rest])
        odd(bag, block => void block.write(type, 156))
        writeFileSync(volume(bag, 'idx'), idx)
        reseal(bag)
      },
      exit: 16,
      says: new RegExp(`type "${is}`),
    }),
  ),
  ...[
    '../../canary',
    '/canary',
    'crates/f/f-1.0.0\n.crate',
    'crates/f/f-1.0.0.crate\0.sh',
    'crates\\x',
    'c:/canary',
    'crates/f/f-1.0.0.crate/..',
  ].map(
    (path): Row => ({
      is: `11: the path ${path}`,
      tamper: bag =>
        odd(bag, block => {
          block.fill(0, 0, 100)
          block.write(path, 0, 'latin1')
        }),
      exit: 16,
      says: /is no member of crates|not in the form of a volume/,
    }),
  ),
  {
    is: '12: a member twice, the second one different',
    tamper: bag => {
      const [one, ...rest] = members(bag)
      if (one === undefined) throw new Error('there is one')
      changed(bag, () => [one, member(one.path, Buffer.from('other')), ...rest])
    },
    exit: 16,
    says: /out of order/,
  },
  {
    is: '16: a bundle.json of more than 4 MiB',
    tamper: bag => {
      writeFileSync(join(bag, 'bundle.json'), Buffer.alloc(5 * 1024 * 1024, 0x20))
      reseal(bag)
    },
    exit: 16,
    says: /bundle\.json has 5242880 bytes, at most 4194304 are read/,
  },
  {
    is: '16: JSON a million deep',
    tamper: bag => {
      writeFileSync(join(bag, 'bundle.json'), '['.repeat(1_000_000))
      reseal(bag)
    },
    exit: 16,
    says: /bundle\.json/,
  },
  {
    is: '17: a key twice',
    tamper: bag => {
      edit(join(bag, 'bundle.json'), bytes =>
        Buffer.from(bytes.toString().replace('"tool":', '"tool":"x","tool":')),
      )
      reseal(bag)
    },
    exit: 16,
    says: /bundle\.json/,
  },
  {
    is: '17: __proto__',
    tamper: bag => {
      edit(join(bag, 'bundle.json'), bytes =>
        Buffer.from(bytes.toString().replace('{"bundleId"', '{"__proto__":{},"bundleId"')),
      )
      reseal(bag)
    },
    exit: 16,
    says: /bundle\.json/,
  },
  {
    is: '18: the seal is a link to an endless device',
    tamper: bag => {
      rmSync(join(bag, 'tagmanifest-sha256.txt'))
      symlinkSync('/dev/zero', join(bag, 'tagmanifest-sha256.txt'))
    },
    exit: 16,
    says: /tagmanifest-sha256\.txt is not a regular file/,
  },
  {
    is: '18: a volume is a FIFO',
    tamper: bag => {
      rmSync(volume(bag))
      execFileSync('mkfifo', [volume(bag)])
    },
    exit: 16,
    says: /crates-00001\.tar is not a regular file/,
  },
  {
    is: '18: a folder of volumes is a link',
    tamper: bag => {
      cpSync(join(bag, 'data/crates'), join(bag, '..', 'elsewhere'), { recursive: true })
      rmSync(join(bag, 'data/crates'), { recursive: true })
      symlinkSync(join(bag, '..', 'elsewhere'), join(bag, 'data/crates'))
    },
    exit: 16,
    says: /data\/crates is not a folder/,
  },
  {
    is: '23: an older state, validly signed',
    from: 'first',
    medium: 'full-1',
    tamper: () => {},
    exit: 13,
    says: /timestamp\.json: version 1, accepted before: 2/,
  },
  {
    is: '25a: past its end by more than the policy',
    tamper: () => {},
    days: 60,
    exit: 12,
    says: /timestamp\.json: version \d+ expired at .*the clock says .*taken until 45 d past its end/,
  },
  {
    is: '28: a root of their own, all else consistent with it',
    tamper: bag => {
      for (const name of readdirSync(join(bag, 'data/tuf'))) {
        if (!name.endsWith('.json')) continue
        edit(join(bag, 'data/tuf', name), bytes =>
          Buffer.from(bytes.toString().replace(/"sig":"[0-9a-f]{4}/g, '"sig":"0000')),
        )
      }
      reseal(bag)
    },
    exit: 11,
    says: /timestamp\.json: signed by 0 of 1 keys/,
  },
  {
    is: '29a: the timestamp of one state with the snapshot of another',
    tamper: bag => {
      const one = bagOn(full1)
      rmSync(join(bag, 'data/tuf/2.snapshot.json'))
      cpSync(join(one, 'data/tuf/1.snapshot.json'), join(bag, 'data/tuf/2.snapshot.json'))
      reseal(bag)
    },
    medium: 'full-2',
    exit: 11,
    says: /2\.snapshot\.json/,
  },
  {
    is: '29b: the volumes of an older state under the metadata of a newer one',
    medium: 'full-2',
    tamper: bag => {
      for (const kind of ['index', 'crates']) {
        rmSync(join(bag, 'data', kind), { recursive: true })
        cpSync(join(bagOn(full1), 'data', kind), join(bag, 'data', kind), { recursive: true })
      }
      const { volumes } = JSON.parse(readFileSync(join(bagOn(full1), 'bundle.json'), 'utf8')).plan
      rewritePlan(bag, plan => ({ ...plan, volumes }))
      reseal(bag)
    },
    exit: 3,
    says: /3 files are not here yet|files are not here yet/,
  },
  {
    is: '30: the newest metadata without any object',
    medium: 'full-2',
    from: 'first',
    tamper: bag => {
      rmSync(join(bag, 'data/crates'), { recursive: true })
      rmSync(join(bag, 'data/index'), { recursive: true })
      rewritePlan(bag, plan => ({ ...plan, volumes: [] }))
      edit(join(bag, 'bundle.json'), bytes =>
        Buffer.from(bytes.toString().replace(/"media":\[[0-9,]*\]/, '"media":[]')),
      )
      reseal(bag)
    },
    exit: 3,
    says: /files are not here yet/,
  },
  {
    is: '31: a delta whose base is not here',
    medium: 'delta',
    tamper: () => {},
    exit: 3,
    says: /files are not here yet/,
  },
  {
    is: '33: a bundleId that is not that of its plan',
    tamper: bag => {
      edit(join(bag, 'bundle.json'), bytes =>
        Buffer.from(bytes.toString().replace(/"bundleId":"..../, '"bundleId":"0000')),
      )
      reseal(bag)
    },
    exit: 16,
    says: /not canonical, or its bundleId is not that of its plan/,
  },
  {
    is: '35: more names on a medium than a person would put there',
    tamper: (_bag, medium) => {
      for (let n = 0; n < 4200; n += 1) mkdirSync(join(medium, `folder-${n}`))
    },
    exit: 16,
    says: /has more than 4096 names/,
  },
  {
    is: '40: objects that are there are called absent',
    medium: 'full-2',
    tamper: bag => {
      const all = members(bag)
      const gone = all.find(({ path }) => path.includes('9.9.9'))
      if (gone === undefined) throw new Error('it is there')
      rewriteVolume(
        bag,
        CRATES,
        all.filter(one => one !== gone),
      )
      const absent = [{ path: gone.path, sha256: sha256(gone.data) }]
      rewritePlan(bag, plan => ({ ...plan, absent }))
      reseal(bag)
    },
    exit: 3,
    says: /1 artifacts are said to be gone upstream \(ferry-app@9\.9\.9\); if that is right, .*--accept-absent 1/,
  },
  {
    is: '42: offsets of an index that overlap',
    tamper: bag => {
      edit(volume(bag, 'idx'), bytes =>
        Buffer.from(bytes.toString().replace(/^(\d+)(?=\t847\t)/m, '512')),
      )
      reseal(bag)
    },
    exit: 16,
    says: /offset 512 does not follow from the sizes before it/,
  },
  {
    is: '44a: a bag of format 2',
    tamper: bag => {
      edit(join(bag, 'bundle.json'), bytes =>
        Buffer.from(bytes.toString().replace('"format":1', '"format":2')),
      )
      reseal(bag)
    },
    exit: 10,
    says: /bundle format 2, this program reads 1/,
  },
  {
    is: '44b: no sealed bag at all',
    tamper: bag => rmSync(join(bag, 'tagmanifest-sha256.txt')),
    exit: 10,
    says: /no sealed bag is there/,
  },
]

test('25b: past its end by less than the policy is taken, with a warning, and recorded', {
  timeout: 30_000,
}, async () => {
  const far = copyOf(empty, courier.at('far-late'))
  // the timestamp is good for two days
  const late = ['bundle', 'import', full1, '--mirror', far, '--json']
  const ended = await courier.inDays(46, ...late)
  expect(ended.exit, ended.stderr).toBe(0)
  expect(ended.stderr).toMatch(/warning: timestamp\.json: version 1 expired at /)
  const [receipt = ''] = readdirSync(join(far, 'state/outbox'))
  const { staleness } = JSON.parse(readFileSync(join(far, 'state/outbox', receipt), 'utf8'))
  expect(staleness.timestamp).toBeGreaterThan(43 * 86_400)
  expect((await courier.inDays(46, 'status', '--mirror', far)).stdout).toMatch(
    /expired 4[34] d ago/,
  )
})

/** Everything under `public/` that others are shown under names that change, and whether each artifact is what its name says. */
async function state(mirror: string): Promise<object> {
  const files = await contents(join(mirror, 'public'))
  for (const [file, hash] of Object.entries(files)) {
    const named = /([0-9a-f]{64})\.(?:crate|index-tree|[^/]+)$/.exec(file)?.[1]
    if (named !== undefined) expect(hash, file).toBe(named)
  }
  return Object.fromEntries(
    Object.entries(files).filter(([file]) => !/[0-9a-f]{64}\.|^index\/config\.json$/.test(file)),
  )
}

test.each(rows)(
  '$is',
  { timeout: 30_000 },
  async ({ from = 'empty', medium = 'full-1', tamper, exit, says, days = 0 }) => {
    count += 1
    const far = copyOf(from === 'empty' ? empty : first, courier.at(`far-${count}`))
    const source = { 'full-1': full1, delta, 'full-2': full2 }[medium]
    if (exit === 13) await courier.import(0, far, [full2])
    const before = await state(far)
    const carried = copyOf(source, courier.at(`medium-${count}`))
    tamper(bagOn(carried), carried)
    const ended = await courier.inDays(days, 'bundle', 'import', carried, '--mirror', far)
    expect(ended.stderr).toMatch(says)
    expect(ended.exit, ended.stderr).toBe(exit)
    expect(ended.stderr).not.toMatch(/unexpected|\n\s+at /)
    expect(await state(far)).toEqual(before)
    expect(existsSync(courier.at('canary'))).toBe(false)
    expect(existsSync('/canary')).toBe(false)
  },
)
