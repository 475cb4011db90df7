import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CratesIo } from '../crates-io.ts'
import { build } from './build.ts'
import { crateferry, serve } from './run.ts'

/** The same crates, served as crates.io serves its own: nobody signs them until the site does. */
export function observedSteps(
  cratesIo: CratesIo,
  { plain, scratch, lock }: { plain: string; scratch: string; lock: string },
): (() => Promise<string>)[] {
  const site = join(scratch, 'site')
  const below = join(scratch, 'below')
  const keys = join(scratch, 'keys')
  const root = join(keys, '1.root.json')
  const key = (name: string): string => join(keys, `${name}.key`)

  async function observing(): Promise<string> {
    cratesIo.fill(plain)
    const contact = 'try-real@site.example'
    const { index, feeds, dump, advisoriesFeed: advisories } = cratesIo
    await crateferry('init', site, '--observed', '--upstream', index, '--contact', contact)
    configure(site, 'upstream', { feeds, dump, advisories })
    configure(site, 'sync', { 'requests-per-second': 10_000 })
    const { tree, artifacts } = await crateferry('sync', '--mirror', site)
    const requests = cratesIo.requests.length
    cratesIo.requests.clear()
    const { outcome } = await crateferry('sync', '--mirror', site)
    if (outcome !== 'unchanged') throw new Error(`a tick with nothing new came to ${outcome}`)
    return `${artifacts} artifacts in ${requests} requests, a tick ${cratesIo.requests.length}, tree ${tree}`
  }

  async function signingSite(): Promise<string> {
    mkdirSync(keys)
    const people = ['alice', 'bob', 'carol']
    const online = ['targets', 'snapshot', 'timestamp']
    for (const name of [...people, ...online]) {
      await crateferry('key', 'new', key(name), '--insecure-plaintext')
    }
    const options = [
      ...people.flatMap(name => ['--key', key(name)]),
      ...online.flatMap(name => [`--${name}`, key(name)]),
    ]
    await crateferry('root', 'new', root, ...options, '--threshold', '2')
    configure(site, 'sign', Object.fromEntries(online.map(name => [name, `file:${key(name)}`])))
    const { tree } = await crateferry('sign', '--mirror', site, '--root', root)
    return `a root of 2 of 3, tree ${tree}`
  }

  async function following(): Promise<string> {
    await using server = await serve(site)
    await crateferry('init', below, '--upstream', server.url, '--root', root)
    const { tree, artifacts } = await crateferry('sync', '--mirror', below)
    return `a mirror below pins that root: ${artifacts} artifacts, tree ${tree}`
  }

  async function verifyingBoth(): Promise<string> {
    for (const mirror of [site, below]) await crateferry('verify', '--mirror', mirror)
    return 'every byte of both read back, no fault'
  }

  async function buildingFromBoth(): Promise<string> {
    for (const mirror of [site, below]) {
      await using server = await serve(mirror)
      const { config } = await crateferry('cargo-config', '--url', server.url)
      await build(String(config), lock)
    }
    return 'cargo build --locked from the observed mirror, and from the one below'
  }

  return [observing, signingSite, following, verifyingBoth, buildingFromBoth]
}

function configure(mirror: string, section: string, values: Record<string, string | number>): void {
  const file = join(mirror, 'crateferry.toml')
  const text = readFileSync(file, 'utf8')
  const lines = Object.entries(values).map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
  writeFileSync(file, text.replace(`[${section}]\n`, `[${section}]\n${lines.join('\n')}\n`))
}
