import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bagOn, Courier, copyOf, edit, shown } from '../bundle/carried.ts'
import { crateferryAt, type Moment } from '../bundle/moments.ts'
import { watch } from '../bundle/watching.ts'
import { contents, type Ended, expectExit } from '../crateferry.ts'

/** Rows of the bundle format's table of attacks and accidents that happen while the program works. */

let courier: Courier
let [full, empty] = ['', '']
let count = 0
const timeout = 60_000
const SEAL = 'tagmanifest-sha256.txt'

beforeAll(async () => {
  courier = await Courier.make()
  full = await courier.export('full')
  empty = await courier.far('empty')
}, timeout)

afterAll(async () => {
  await courier[Symbol.asyncDispose]()
})

interface Site {
  readonly far: string
  readonly medium: string
  readonly importing: (moment: Moment) => Promise<Ended>
}

/** A mirror that has nothing yet, and a medium with all. */
function site(): Site {
  count += 1
  const far = copyOf(empty, courier.at(`far-${count}`))
  const medium = copyOf(full, courier.at(`medium-${count}`))
  const args = ['bundle', 'import', medium, '--mirror', far]
  const importing = async (moment: Moment): Promise<Ended> => {
    const ended = await crateferryAt(courier.registry.folder, moment, ...args)
    expect(ended.stderr).not.toMatch(/unexpected|\n\s+at /)
    return ended
  }
  return { far, medium, importing }
}

/** What the first state looks like when it is there. */
async function expectAll(far: string): Promise<void> {
  await expectExit(0, 'verify', '--mirror', far)
  expect(existsSync(join(far, 'public/index/fe/rr/ferry-app'))).toBe(true)
}

test.each(['\\.tar$', '\\.idx$', '\\.json$', '\\.txt$', 'index-tree$'])(
  '19: a device gives other bytes for %s when it is asked a second time',
  { timeout },
  async ending => {
    const { far, importing } = site()
    const ended = await importing({
      at: 'readSync',
      file: new RegExp(`cf-.*${ending}`),
      does: `globalThis.seen ??= new Set()
        const key = path + position
        if (globalThis.seen.has(key)) for (let n = 0; n < length; n += 1) into[n] ^= 1
        globalThis.seen.add(key)`,
    })
    expect(ended.exit, ended.stderr).toBe(0)
    await expectAll(far)
  },
)

test('20a: a volume that changes during the import', { timeout }, async () => {
  const { far, medium, importing } = site()
  const before = await shown(far)
  const ended = await importing({
    at: 'openSync',
    file: /crates-00001\.idx$/,
    does: `if (count > 1) return
      const fd = real.openSync(path.replace(/idx$/, 'tar'), 'r+')
      real.writeSync(fd, 'other bytes', 512)
      real.closeSync(fd)`,
  })
  expect(ended.exit, ended.stderr).toBe(4)
  expect(ended.stderr).toMatch(/damaged: crates-00001: crates\/FerryMast\/FerryMast-1\.0\.0\.crate/)
  expect(await shown(far)).toEqual(before)
  // what is lacking is what the next medium brings
  await courier.import(4, far, [medium])
  await courier.import(0, far, [full])
  await expectAll(far)
})

test('20b: a volume that grows during the import', { timeout }, async () => {
  const { far, importing } = site()
  const ended = await importing({
    at: 'openSync',
    file: /crates-00001\.idx$/,
    does: `if (count === 1) real.appendFileSync(path.replace(/idx$/, 'tar'), Buffer.alloc(4096, 1))`,
  })
  expect(ended.exit, ended.stderr).toBe(16)
  expect(existsSync(join(far, 'state/published'))).toBe(false)
})

test('21: a medium pulled in mid-volume and put back', { timeout }, async () => {
  const { far, medium, importing } = site()
  const ended = await importing({
    at: 'readSync',
    file: /crates-00001\.tar$/,
    does: `if (count === 1) real.renameSync(${JSON.stringify(medium)}, ${JSON.stringify(`${medium}-pulled`)})
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', syscall: 'read' })`,
  })
  expect(ended.exit, ended.stderr).toBe(3)
  expect(ended.stderr).toMatch(/crates-00001\.tar: is the medium still there\?/)
  expect(existsSync(join(far, 'state/published'))).toBe(false)
  // another with the same folder name is another bag; this one's objects are in it all the same
  renameSync(`${medium}-pulled`, medium)
  await courier.import(0, far, [medium])
  await expectAll(far)
})

test('36: a disk that is too small is told before anything is copied', { timeout }, async () => {
  const disk = courier.at('disk')
  mkdirSync(disk)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'crateferry-test', disk]).status !== 0) {
    process.stderr.write('NOT TESTED: a small disk; it needs root to mount one\n')
    return
  }
  try {
    await using large = await Courier.make()
    large.add('large', '1.0.0', randomBytes(3_000_000))
    await large.registry.sign()
    const far = copyOf(await large.far(), join(disk, 'far'))
    const reserve = (bytes: number) => (text: Buffer) =>
      Buffer.from(text.toString().replace(/# reserve-bytes = .*/, `reserve-bytes = ${bytes}`))
    edit(join(far, 'crateferry.toml'), reserve(500_000))
    writeFileSync(join(disk, 'filler'), Buffer.alloc(600_000))
    const args = ['bundle', 'import', await large.export('large-full'), '--mirror', far]
    const ended = await expectExit(20, ...args)
    expect(ended.stderr).toMatch(
      /bytes free, 20 artifacts need \d+ and the reserve is 500000; none was written/,
    )
    expect(readdirSync(join(far, 'public/crates'))).toEqual([])
    rmSync(join(disk, 'filler'))
    await expectExit(0, ...args)
    await expectAll(far)
  } finally {
    spawnSync('umount', ['-l', disk])
  }
})

test('39: files that come over a diode out of order and twice, one of them lost, the seal last', {
  timeout,
}, async () => {
  const far = copyOf(empty, courier.at('far-diode'))
  const inbox = courier.at('inbox')
  const bag = bagOn(full)
  const there = join(inbox, bag.slice(bag.lastIndexOf('/') + 1))
  mkdirSync(there, { recursive: true })
  await using watching = await watch(inbox, far)
  const files = Object.keys(await contents(bag)).filter(file => file !== SEAL)
  const lost = files.find(file => file.endsWith('crates-00001.tar')) ?? ''
  const come = (file: string): void => {
    mkdirSync(join(there, file, '..'), { recursive: true })
    cpSync(join(bag, file), join(there, file))
  }
  for (const file of files.toReversed()) if (file !== lost) come(file)
  for (const file of files.slice(0, 3)) if (file !== lost) come(file)
  come(SEAL)
  await watching.until(/exit 3\n/)
  expect(existsSync(join(far, 'state/published'))).toBe(false)
  expect(readdirSync(join(far, 'state/outbox')).some(name => name.startsWith('want-'))).toBe(true)
  come(lost)
  await watching.until(/exit 0\n/)
  await expectAll(far)
})

test('43: an export target that is unmounted while it is written', { timeout }, async () => {
  const target = courier.at('stick')
  mkdirSync(target)
  if (spawnSync('mount', ['-t', 'tmpfs', 'crateferry-test', target]).status !== 0) {
    process.stderr.write('NOT TESTED: a target that is unmounted; it needs root to mount one\n')
    return
  }
  try {
    const ended = await crateferryAt(
      courier.registry.folder,
      {
        at: 'openSync',
        file: /stick\/cf-.*index-00001\.tar$/,
        does: `if (count === 1) execFileSync('umount', ['-l', ${JSON.stringify(target)}])`,
      },
      ...['bundle', 'export', '--to', target, '--mirror', courier.near],
    )
    expect(ended.exit, ended.stderr).toBe(21)
    expect(ended.stderr).toMatch(/insert the medium again and run the same command|no such file/)
    // nothing went to the disk below
    expect(readdirSync(target)).toEqual([])
  } finally {
    spawnSync('umount', ['-l', target])
  }
})

test('43b: a mirror that is exchanged while it imports', { timeout }, async () => {
  const { far, importing } = site()
  const other = await courier.far('exchanged')
  const ended = await importing({
    at: 'openSync',
    file: /crates-00001\.idx$/,
    does: `if (count > 1) return
      real.renameSync(${JSON.stringify(far)}, ${JSON.stringify(`${far}-gone`)})
      real.renameSync(${JSON.stringify(other)}, ${JSON.stringify(far)})`,
  })
  expect(ended.exit, ended.stderr).toBe(10)
  expect(existsSync(join(far, 'state/published'))).toBe(false)
})

test('45: a stick that lies about its room is found by the reading back', { timeout }, async () => {
  const target = courier.at('liar')
  mkdirSync(target)
  const args = ['bundle', 'export', '--to', target, '--mirror', courier.near]
  const ended = await crateferryAt(
    courier.registry.folder,
    {
      at: 'openSync',
      // written last: by then the first volume has been written over
      file: /crates-00001\.tar$/,
      does: `if (count > 1) return
        const first = path.replaceAll('crates', 'index')
        const fd = real.openSync(first, 'r+')
        real.writeSync(fd, 'what came later', 1024)
        real.closeSync(fd)`,
    },
    ...args,
  )
  expect(ended.exit, ended.stderr).toBe(4)
  expect(ended.stderr).toMatch(/index-00001\.tar: the medium gives back .*do not trust this medium/)
  expect(readdirSync(target).filter(name => !name.endsWith('.partial'))).toEqual([])
  const [partial = ''] = readdirSync(target)
  expect(existsSync(join(target, partial, 'tagmanifest-sha256.txt'))).toBe(false)
  cpSync(target, courier.at('other-stick'), { recursive: true })
  await expectExit(0, ...args)
  await expectExit(0, 'bundle', 'verify', target, '--root', courier.registry.root, '--whole')
  expect(bagOn(target)).toContain('cf-')
})
