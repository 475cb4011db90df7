import { writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { readCaFile } from '../../src/cli/ca-file.ts'
import { makeCertificates } from '../upstream/certificates.ts'

/** A file of certificates decides whom TLS believes: nothing of it may be left out unsaid. */
const test = base
  .extend('ca', { scope: 'file' }, async () => (await makeCertificates())?.ca)
  .extend('file', async ({}, { onCleanup }) => {
    const folder = await mkdtempDisposable(join(tmpdir(), 'ca-file-'))
    onCleanup(() => folder.remove())
    return join(folder.path, 'ca.pem')
  })

const damaged = (ca: string): string => ca.replace(/\n[A-Za-z0-9+/]{8}/, '\nAAAAAAAA')

test('every certificate in it is taken, and nothing else', ({ ca, file, skip }) => {
  if (ca === undefined) return skip('openssl is not here to make certificates')
  const key = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n'
  writeFileSync(file, `# our authority\r\n${ca.replaceAll('\n', '\r\n')}${key}${ca}`)
  const taken = readCaFile(file)
  expect(taken.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  expect(taken).not.toMatch(/KEY|authority/)
})

test.for<[string, (ca: string) => string, string]>([
  ['empty', () => '', 'has no certificate in PEM'],
  ['a key', () => '-----BEGIN PRIVATE KEY-----\n', 'has no certificate in PEM'],
  ['cut', ca => ca.slice(0, -30), 'has no certificate in PEM'],
  ['damaged', damaged, 'has a certificate that cannot be read, its number 1'],
  ['damaged further on', ca => ca + damaged(ca), 'cannot be read, its number 2'],
  ['endless', () => 'x'.repeat(1_048_577), 'is longer than 1 MiB'],
])('one that is %s is wrong usage', ([, content, says], { ca, file, skip }) => {
  if (ca === undefined) return skip('openssl is not here to make certificates')
  writeFileSync(file, content(ca))
  expect(() => readCaFile(file)).toThrow(expect.objectContaining({ code: 'usage' }))
  expect(() => readCaFile(file)).toThrow(`upstream.ca-file: ${JSON.stringify(file)} `)
  expect(() => readCaFile(file)).toThrow(says)
})

test('one that is missing, or a folder, is wrong usage', ({ file }) => {
  expect(() => readCaFile(file)).toThrow('cannot be read (ENOENT)')
  expect(() => readCaFile(join(file, '..'))).toThrow('cannot be read (EISDIR)')
})
