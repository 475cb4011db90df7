import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { HostGone } from '../../src/upstream/faults.ts'
import { TestClient } from './client.ts'

/** An https server whose certificate nobody has vouched for; undefined where openssl is missing. */
const test = base.extend('origin', async ({}, { onCleanup }) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tls-'))
  const [key, cert] = [join(folder.path, 'key.pem'), join(folder.path, 'cert.pem')]
  const wanted = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  try {
    const args = ['req', '-x509', ...wanted, ...subject, '-keyout', key, '-out', cert]
    execFileSync('openssl', args, { stdio: 'pipe' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const options = { key: readFileSync(key), cert: readFileSync(cert) }
  const server = createServer(options, (_request, response) => response.end('fine'))
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  onCleanup(() => server[Symbol.asyncDispose]())
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`
})

test('a certificate that nobody vouches for is never accepted, and the message says so', async ({
  origin,
  skip,
}) => {
  if (origin === undefined) return skip('openssl is not here to make a certificate')
  await using client = new TestClient()
  const signal = AbortSignal.timeout(10_000)
  const request = { kind: 'metadata', bytesMax: 1_000, signal } as const
  const error = await client.get({ origin, path: '/' }, request).catch(error => error)
  expect(error).toBeInstanceOf(HostGone)
  expect(error).toMatchObject({ code: 'incomplete' })
  expect(error.message).toContain(
    `cannot connect to ${origin}: its certificate is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT); give its CA as upstream.ca-file`,
  )
})
