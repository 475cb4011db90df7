import { execFile } from 'node:child_process'
import { cpSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import { test as base, expect } from 'vitest'
import { expectExit, Registry } from '../crateferry.ts'
import { Running } from '../daemon/running.ts'
import { type Certificates, makeCertificates } from '../upstream/certificates.ts'
import { serveFolder } from '../upstream.ts'

const run = promisify(execFile)

const test = base.extend('certificates', async ({ skip }): Promise<Certificates> => {
  return (await makeCertificates()) ?? skip('openssl is not here to make a certificate')
})

/** A mirror that is filled, with a certificate, its key and their two lines in the configuration. */
async function secureMirror(registry: Registry, certificates: Certificates): Promise<string> {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  await putCertificate(mirror, certificates)
  const file = join(mirror, 'crateferry.toml')
  const lines = '[serve]\ntls-certificate = "tls.crt"\ntls-key = "tls.key"'
  await writeFile(file, (await readFile(file, 'utf8')).replace('[serve]', lines))
  return mirror
}

async function putCertificate(mirror: string, { cert, key }: Certificates): Promise<void> {
  await writeFile(join(mirror, 'tls.crt'), cert)
  await writeFile(join(mirror, 'tls.key'), key)
}

/** The certificate that a client sees, whoever vouches for it. */
async function serialAt(url: string): Promise<string> {
  const { port } = new URL(url)
  return await new Promise((done, failed) => {
    const options = { port: Number(port), host: '127.0.0.1', rejectUnauthorized: false }
    const socket = connect(options, () => {
      done(socket.getPeerCertificate().serialNumber)
      socket.destroy()
    })
    socket.once('error', failed)
  })
}

test('a daemon serves over TLS, a real cargo builds by HTTP/2, and a renewed certificate is taken', {
  timeout: 120_000,
}, async ({ certificates, skip }) => {
  await using registry = await Registry.make()
  const mirror = await secureMirror(registry, certificates)
  await using daemon = await Running.of(mirror)
  expect(daemon.url).toMatch(/^https:\/\/127\.0\.0\.1:/)

  const first = await serialAt(daemon.url)
  const next = (await makeCertificates()) as Certificates
  await writeFile(join(mirror, 'tls.crt'), next.cert)
  await daemon.until(/the certificate before goes on: .*mismatch/)
  expect(await serialAt(daemon.url)).toBe(first)
  await putCertificate(mirror, next)
  await daemon.until(/the new certificate .* is in use/)
  expect(await serialAt(daemon.url)).not.toBe(first)

  const hasCargo = await run('cargo', ['--version']).catch(() => undefined)
  if (hasCargo === undefined) return skip('NO CARGO BUILD OVER TLS: there is no cargo here')
  const program = join(registry.folder, 'program')
  cpSync(resolve('fixtures/program'), program, { recursive: true })
  await mkdir(registry.at('home'))
  const { stdout: config } = await expectExit(0, 'cargo-config', '--url', daemon.url)
  await writeFile(registry.at('home/config.toml'), config)
  await writeFile(registry.at('ca.pem'), next.ca)
  const env = {
    ...process.env,
    CARGO_HOME: registry.at('home'),
    CARGO_TARGET_DIR: registry.at('target'),
    CARGO_HTTP_CAINFO: registry.at('ca.pem'),
    CARGO_HTTP_DEBUG: 'true',
    CARGO_LOG: 'network=debug,cargo::util::network=debug',
  }
  const { stderr } = await run('cargo', ['build', '--locked'], { cwd: program, env })
  expect(stderr).toMatch(/HTTP\/2/i)
  const { stdout } = await run(registry.at('target/debug/ferry-crossing'))
  expect(stdout).toContain('ferry-engine-sys 0.9.0+bunker.2.4.1')
})

test('what is no certificate with its key is refused before anything listens', {
  timeout: 60_000,
}, async ({ certificates }) => {
  await using registry = await Registry.make()
  const mirror = await secureMirror(registry, certificates)
  const file = join(mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  const refused = async (lines: string, message: string): Promise<void> => {
    await writeFile(file, text.replace(/^tls-.*\ntls-.*$/m, lines))
    const { stderr } = await expectExit(64, 'serve', '--mirror', mirror)
    expect(stderr).toContain(message)
  }
  await refused('tls-certificate = "tls.crt"', 'are set together, or neither is')
  await refused('tls-certificate = "gone.crt"\ntls-key = "tls.key"', 'cannot be read (ENOENT)')
  const twice = 'tls-certificate = "tls.key"\ntls-key = "tls.key"'
  await refused(twice, 'is no certificate in PEM for the key in')
})
