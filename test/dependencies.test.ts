import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

/** Everything that `npm install crateferry` puts on a disk; docs/dependencies.md has the reasons. */
const RUN_TIME = [
  '@noble/ed25519',
  '@noble/hashes',
  '@opentelemetry/api',
  '@rgrove/parse-xml',
  'bintrees',
  'chokidar',
  'commander',
  'croner',
  'csv-parse',
  'graceful-fs',
  'p-queue',
  'pend',
  'prom-client',
  'proper-lockfile',
  'readdirp',
  'retry',
  'signal-exit',
  'smol-toml',
  'tdigest',
  'undici',
  'uplot',
  'yauzl',
]

interface LockedPackage {
  readonly dev?: true
  readonly hasInstallScript?: true
  readonly integrity?: string
}

async function runTimePackages(): Promise<[path: string, LockedPackage][]> {
  const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8')) as {
    packages: Record<string, LockedPackage>
  }
  return Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true)
}

async function declared(): Promise<Record<string, string>> {
  const { dependencies } = JSON.parse(await readFile('package.json', 'utf8')) as {
    dependencies: Record<string, string>
  }
  return dependencies
}

test('a mirror runs these packages and no others, each once', async () => {
  const paths = (await runTimePackages()).map(([path]) => path)
  expect(paths).toEqual(RUN_TIME.map(name => `node_modules/${name}`))
})

test('no package of a mirror runs a script when it is installed', async () => {
  const scripted = (await runTimePackages()).filter(([, locked]) => locked.hasInstallScript)
  expect(scripted).toEqual([])
})

test('the bytes of each package of a mirror are pinned', async () => {
  for (const [path, { integrity }] of await runTimePackages()) {
    expect(integrity, path).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/)
  }
  for (const [name, version] of Object.entries(await declared())) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+$/)
  }
})

test('docs/dependencies.md gives the reason for each package', async () => {
  const text = await readFile('docs/dependencies.md', 'utf8')
  const chapters = [...text.matchAll(/^## (\S+)$/gm)].map(([, name]) => name)
  const brought = [...text.matchAll(/^\| ([@a-z][\w./-]*) \| \S+ \| [^|]+ \|$/gm)].map(([, n]) => n)
  const names = Object.keys(await declared())
  expect(chapters).toEqual(names.sort())
  expect([...chapters, ...brought.filter(name => name !== 'package')].sort()).toEqual(RUN_TIME)
})
