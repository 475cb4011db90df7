import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KINDS, parseMember } from '../../src/bundle/member.ts'
import { BLOCK_BYTES, header, paddedSize, readHeader } from '../../src/bundle/ustar.ts'
import { sha256 } from '../../src/registry/checksum.ts'

const SERDE = 'crates/serde/serde-1.0.0.crate'
const JSON_CRATE = 'crates/serde-json/serde-json-1.0.0.crate'

function volume(members: readonly (readonly [path: string, data: string])[]): Buffer {
  const blocks = members.flatMap(([path, data]) => {
    const padded = Buffer.alloc(paddedSize(data.length))
    padded.write(data, 'latin1')
    return [header(path, data.length), padded]
  })
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)])
}

test('a header has the bytes of the test vector', () => {
  const bytes = header(SERDE, 78_172)
  expect(bytes.toString('latin1', 148, 156)).toBe('014353\0 ')
  expect(sha256(bytes)).toBe('70b293744db640e2d9d05c477e3bbe45df1103d79a49a4d01f9a12ee5422a21e')
})

test('a volume has the bytes of the test vector', () => {
  const bytes = volume([
    [JSON_CRATE, 'two'],
    [SERDE, 'one'],
  ])
  expect(bytes.length).toBe(3072)
  expect(sha256(bytes)).toBe('670088aed337c0919aa5116e87e07ec0f3775d1e32ec8c18b9f7966486cb3b13')
})

/** Paths of 100, 101 and 172 bytes, and one by hash. */
const VECTORS: Readonly<Record<string, string>> = {
  'crates/forty-letters-long-crate-name-for-a-test/forty-letters-long-crate-name-for-a-test-1.0.0.crate':
    '90a5851bd10c3cff9e32f5dd54a0326ab5217fd7d257b0f3a80b8bded3752800',
  'crates/forty-letters-long-crate-name-for-a-test/forty-letters-long-crate-name-for-a-test-1.0.10.crate':
    '32323874120573e8a04b93cb08f2471148ae4d7f08fbfe936e33d138e174c399',
  'crates/sixty-four-letters-long-crate-name-for-a-test-vector-of-a-volume/sixty-four-letters-long-crate-name-for-a-test-vector-of-a-volume-1.0.0-alpha.beta.gamma.deltas.crate':
    '9f057fe64c682de3329c270e094496fb8a6fc04e39aa51a4062438a3954badee',
  'by-hash/3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3.crate':
    '195a87a3d072b4a903daa51f6442dc7c8db00ae46e79164f1173638f5d95e0de',
}

test.for(Object.entries(VECTORS))('the header of %s is that of the test vector', ([path, hash]) => {
  expect(sha256(header(path, 3))).toBe(hash)
})

test.for<[string, readonly [string, string][], string]>([
  [
    'paths that are divided, and one by hash',
    Object.keys(VECTORS)
      .sort()
      .map((path, n) => [path, ['two', 'one', 'three', 'four'][n] ?? '']),
    'e3556bab0d464f9e8a259105e178eb8cb9142836c13e7af6f0e6c0cabc1da689',
  ],
  [
    'every kind of padding',
    [1, 511, 512, 513, 1024].map((size, n) => [`crates/pad/pad-0.0.${n}.crate`, 'x'.repeat(size)]),
    '0f07b734abc1c73174c6a4c49fbfd015192db754f476ea6302f55e9f078b13f9',
  ],
])('a volume with %s is that of the test vector', ([, members, hash]) => {
  const bytes = volume(members)
  expect(sha256(bytes)).toBe(hash)
})

// a path of 100 bytes, and longer ones on either side of every limit
const LONG = [
  `crates/${'a'.repeat(35)}/${'a'.repeat(35)}-1.0.0-${'b'.repeat(9)}.crate`,
  `crates/${'a'.repeat(36)}/${'a'.repeat(36)}-1.0.0-${'b'.repeat(9)}.crate`,
  `crates/${'a'.repeat(64)}/${'a'.repeat(64)}-1.0.0-${'b'.repeat(23)}.crate`,
]

test('GNU tar makes the same bytes of the same files, and takes them apart', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-tar-'))
  const members = [...LONG.map((path, n) => [path, 'x'.repeat(511 + n)] as const)]
  const sorted = [...members, [SERDE, 'one'] as const].sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [path, data] of sorted) {
    mkdirSync(join(folder.path, dirname(path)), { recursive: true })
    writeFileSync(join(folder.path, path), data)
  }
  const cwd = folder.path
  const form = ['--format=ustar', '--no-recursion', '--verbatim-files-from', '-T', '-']
  const owner = ['--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=0644', '-b1']
  const input = sorted.map(([path]) => `${path}\n`).join('')
  execFileSync('tar', [...form, ...owner, '-cf', 'gnu.tar'], { cwd, input })
  expect(readFileSync(join(cwd, 'gnu.tar')).equals(volume(sorted))).toBe(true)

  writeFileSync(join(cwd, 'ours.tar'), volume(sorted))
  mkdirSync(join(cwd, 'out'))
  execFileSync('tar', ['xf', '../ours.tar'], { cwd: join(cwd, 'out') })
  for (const [path, data] of sorted) {
    expect(readFileSync(join(cwd, 'out', path), 'latin1')).toBe(data)
  }
})

const part = fc.stringMatching(/^[a-zA-Z0-9_.+-]{1,40}$/)
const path = fc.array(part, { minLength: 1, maxLength: 4 }).map(parts => parts.join('/'))

test('what is written is read, for any path and size', () => {
  fc.assert(
    fc.property(path, fc.integer({ min: 1, max: 2 ** 33 - 1 }), (path, size) => {
      if (path.length > 172) return
      expect(readHeader(header(path, size), 'here')).toEqual({ kind: 'member', path, size })
    }),
  )
})

test('a header with any byte changed is damage, or refused, and never another member', () => {
  const whole = header(SERDE, 78_172)
  for (let at = 0; at < BLOCK_BYTES; at += 1) {
    for (const change of [1, 0x20, 0x80]) {
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] ?? 0) ^ change
      expect(readHeader(bytes, 'here'), `byte ${at}`).toEqual({ kind: 'damaged' })
    }
  }
})

test('zeros are the end', () => {
  expect(readHeader(Buffer.alloc(BLOCK_BYTES), 'here')).toEqual({ kind: 'end' })
})

/** A header as another program writes it: changed, with a checksum that is right again. */
function signedOff(change: (block: Buffer) => void, form = '\0 '): Buffer {
  const block = header(SERDE, 78_172)
  change(block)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}${form}`, 148, 'latin1')
  return block
}

const flag =
  (type: string) =>
  (block: Buffer): void => {
    block.write(type, 156, 'latin1')
  }
const field =
  (at: number, bytes: string) =>
  (block: Buffer): void => {
    block.fill(0, at, at + bytes.length + 1)
    block.write(bytes, at, 'latin1')
  }

test.for<[string, (block: Buffer) => void, string]>([
  ['a symbolic link', flag('2'), 'type "symbolic link" is not allowed'],
  ['a hard link', flag('1'), 'type "hard link" is not allowed'],
  ['a device', flag('3'), 'type "character device" is not allowed'],
  ['a folder', flag('5'), 'type "folder" is not allowed'],
  ['a FIFO', flag('6'), 'type "FIFO" is not allowed'],
  ['a pax header', flag('x'), 'type "pax header" is not allowed'],
  ['a GNU long name', flag('L'), 'type "GNU long name" is not allowed'],
  ['a GNU sparse file', flag('S'), 'type "GNU sparse file" is not allowed'],
  ['a type that is none', flag('\u001b'), 'type "\\u001b" is not allowed'],
  ['another mode', field(100, '0000755'), FORM(SERDE)],
  ['an owner', field(108, '0001000'), FORM(SERDE)],
  ['a time', field(136, '14721462260'), FORM(SERDE)],
  ['a size with spaces', field(124, '     230534'), FORM(SERDE)],
  ['a size of 8 EiB in base 256', field(124, '\u0080\0\0\0\u0080\0\0\0\0\0\0\0'), FORM(SERDE)],
  ['a negative size', field(124, '-0000230534'), FORM(SERDE)],
  ['a size of nothing', field(124, '00000000000'), FORM(SERDE)],
  ['a name of an owner', field(265, 'root'), FORM(SERDE)],
  ['a link name', field(157, '/etc/passwd'), FORM(SERDE)],
  ['a name with an escape', field(0, 'a\u001b[31m'), 'the header of "a\\u001b[31m" is not'],
])('%s is refused, though its checksum is right', ([, change, says]) => {
  expect(() => readHeader(signedOff(change), 'volume 3, member 17')).toThrow(
    `volume 3, member 17: ${says}`,
  )
})

test('a path that goes up is a header like any other: that no member has it is said there', () => {
  const path = '../../etc/cron.d/x'
  expect(readHeader(header(path, 1), 'here')).toEqual({ kind: 'member', path, size: 1 })
  for (const kind of KINDS) expect(parseMember(kind, path)).toBeUndefined()
})

test('a checksum as GNU tar of old wrote it is somebody’s too', () => {
  expect(() => readHeader(signedOff(flag('2'), ' \0'), 'here')).toThrow('symbolic link')
})

test.for([
  ['nothing', '', 1],
  ['a name over 100 bytes', `crates/${'a'.repeat(101)}`, 1],
  ['a prefix over 155 bytes', `${'a'.repeat(156)}/b`, 1],
  ['another alphabet', 'crates/ａ/ａ-1.0.0.crate', 1],
  ['a space', 'crates/a b', 1],
  ['no byte', SERDE, 0],
  ['more than eleven digits', SERDE, 8 ** 11],
  ['half a byte', SERDE, 1.5],
] as const)('no header is made for %s', ([, path, size]) => {
  expect(() => header(path, size)).toThrow(/no path of a volume|which no volume holds/)
})

function FORM(name: string): string {
  return `the header of "${name}" is not in the form of a volume`
}
