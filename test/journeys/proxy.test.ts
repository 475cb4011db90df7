import { readFileSync, writeFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { contents, type Ended, expectExit, Registry } from '../crateferry.ts'
import { type Certificates, makeCertificates } from '../upstream/certificates.ts'
import { LoopbackProxy } from '../upstream/forward-proxy.ts'

/** A site behind a proxy with a password, whose upstream has a certificate of the site's own authority. */
const PASSWORD = 's3cret/@'
const SHOWN = /s3cret|czNjcmV0/

interface Site {
  readonly mirror: string
  readonly ca: string
  readonly proxy: LoopbackProxy
  readonly registry: Registry
  /** Sets keys of `[upstream]`, as TOML, in the file that `init` wrote. */
  configure(keys: Readonly<Record<string, string>>): void
}

const test = base
  .extend('registry', async ({}, { onCleanup }) => {
    const registry = await Registry.make()
    onCleanup(() => registry[Symbol.asyncDispose]())
    return registry
  })
  .extend('site', async ({ registry, skip }, { onCleanup }): Promise<Site> => {
    const certificates = await makeCertificates()
    if (certificates === undefined) return skip('openssl is not here to make certificates')
    const proxy = await LoopbackProxy.start({ credentials: `ferry:${PASSWORD}` })
    const server = await serveOverTls(registry.public, certificates)
    onCleanup(async () => {
      await proxy[Symbol.asyncDispose]()
      server.closeAllConnections()
      await server[Symbol.asyncDispose]()
    })
    const mirror = registry.at('mirror')
    await expectExit(0, 'init', mirror, '--root', registry.root)
    const file = join(mirror, 'crateferry.toml')
    const text = readFileSync(file, 'utf8')
    const url = `"https://127.0.0.1:${(server.address() as AddressInfo).port}"`
    const configure = (keys: Readonly<Record<string, string>>): void => {
      let changed = text
      for (const [key, value] of Object.entries({ url, ...keys })) {
        expect(changed).toContain(`\n# ${key} = `)
        changed = changed.replace(RegExp(`\n# ${key} = .*`), `\n${key} = ${value}`)
      }
      writeFileSync(file, changed)
    }
    return { mirror, ca: certificates.ca, proxy, registry, configure }
  })

async function serveOverTls(
  folder: string,
  certificates: Certificates,
): Promise<ReturnType<typeof createServer>> {
  const server = createServer(certificates, ({ url = '' }, response) => {
    readFile(join(folder, url)).then(
      bytes => response.end(bytes),
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  return server
}

const through = (proxy: LoopbackProxy, password: string): string =>
  `"http://ferry:${encodeURIComponent(password)}@${proxy.host}"`

function saysNothingOf({ stdout, stderr }: Ended): void {
  expect(stdout + stderr).not.toMatch(SHOWN)
}

test('a mirror is filled through the proxy, whose password is shown nowhere, whatever fails', {
  timeout: 60_000,
}, async ({ site: { mirror, ca, proxy, registry, configure } }) => {
  const keys = { proxy: through(proxy, PASSWORD), 'ca-file': '"site-ca.pem"' }
  const failed = async (exit: number): Promise<string> => {
    const ended = await expectExit(exit, '--quiet', 'sync', '--mirror', mirror)
    saysNothingOf(ended)
    expect(ended.stderr.trimEnd().split('\n')).toHaveLength(1)
    return ended.stderr
  }
  configure(keys)
  expect(await failed(64)).toBe(
    `crateferry: upstream.ca-file: ${JSON.stringify(join(mirror, 'site-ca.pem'))} cannot be read (ENOENT)\n`,
  )
  writeFileSync(join(mirror, 'site-ca.pem'), ca)
  configure({ ...keys, proxy: '"http://ferry:s3cret/@127.0.0.1:1"' })
  expect(await failed(64)).toContain('upstream.proxy is not an http or https URL of a host')
  configure({ ...keys, proxy: through(proxy, 's3cret') })
  expect(await failed(3)).toMatch(
    /the proxy http:\/\/127\.0\.0\.1:\d+ refused to connect to 127\.0\.0\.1:\d+ \(status 407\)/,
  )
  expect(proxy.requests).toHaveLength(1)

  configure(keys)
  const synced = await expectExit(0, 'sync', '--mirror', mirror, '--json')
  expect(synced.json()).toMatchObject({ outcome: 'published', artifacts: 19 })
  expect(await contents(join(mirror, 'public'))).toEqual(await contents(registry.public))
  expect(new Set(proxy.requests.map(({ method }) => method))).toEqual(new Set(['CONNECT']))
  saysNothingOf(synced)
  saysNothingOf(await expectExit(0, 'status', '--mirror', mirror, '--json'))
  saysNothingOf(await expectExit(0, 'status', '--mirror', mirror))
  expect(await namesWith(SHOWN, mirror)).toEqual(['crateferry.toml'])
})

/** The files below a folder that hold what nobody should see. */
async function namesWith(secret: RegExp, folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const found: string[] = []
  for (const entry of entries.filter(one => one.isFile())) {
    const text = await readFile(join(entry.parentPath, entry.name), 'latin1')
    if (secret.test(text)) found.push(entry.name)
  }
  return found
}
