// Makes build/: crateferry for machines without Node or npm, its manual page, completions, the licences
// of what is in it, and the checksums of them all. `npm run build:executable [-- FOLDER]`; run by the project's Node.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { rolldown } from 'rolldown'

const root = resolve(import.meta.dirname, '..')
const out = resolve(process.argv[2] ?? join(root, 'build'))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const name = `crateferry-${version}-${process.platform}-${process.arch}`

if (process.argv[2] === undefined) rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
const { code, packages } = await bundled()
const script = join(out, 'crateferry.mjs')
writeFileSync(script, code)
injected(script)
rmSync(script)
const told = (...args) => execFileSync(join(out, name), args)
writeFileSync(join(out, 'crateferry.1'), told('man'))
for (const shell of ['bash', 'zsh', 'fish']) {
  writeFileSync(join(out, `crateferry.${shell}`), told('completion', shell))
}
writeFileSync(join(out, 'LICENSES.txt'), licences(packages))
writeFileSync(join(out, 'SHA256SUMS'), sums())
console.log(readFileSync(join(out, 'SHA256SUMS'), 'utf8').trimEnd())

/** The program and all it imports as one module, and the packages that came with it. */
async function bundled() {
  const bundle = await rolldown({
    input: join(root, 'bin/executable.mjs'),
    platform: 'node',
    cwd: root,
    onLog: (level, { message }) => console.error(`${level}: ${message}`),
  })
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false })
  const [{ code, moduleIds }] = output
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)\//
  const packages = moduleIds.flatMap(id => inPackage.exec(id)?.[1] ?? [])
  return { code, packages: [...new Set([...packages, 'uplot'])].sort() }
}

/** Node with the script and what it reads at run time: the page's files, the crates of the demo. */
function injected(main) {
  const files = [
    ...['page.css', 'page.js', 'icon.svg'].map(file => [file, `src/serve/assets/${file}`]),
    ['uplot.css', 'node_modules/uplot/dist/uPlot.min.css'],
    ['uplot.js', 'node_modules/uplot/dist/uPlot.iife.min.js'],
    ...fixtures().map(file => [file, file]),
  ]
  const config = join(out, 'sea.json')
  const assets = Object.fromEntries(files.map(([key, file]) => [key, join(root, file)]))
  const options = { disableExperimentalSEAWarning: true, useSnapshot: false, useCodeCache: false }
  const settings = { main, mainFormat: 'module', output: join(out, name), assets, ...options }
  writeFileSync(config, JSON.stringify(settings))
  execFileSync(process.execPath, [`--build-sea=${config}`], { stdio: 'pipe' })
  rmSync(config)
}

function fixtures() {
  const entries = readdirSync(join(root, 'fixtures'), { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter(file => /^fixtures\/(?:crates|program)\//.test(file))
    .sort()
}

/** Whoever hands on the executable hands on these. */
function licences(packages) {
  const texts = packages.map(one => {
    const folder = join(root, 'node_modules', one)
    const { version: at, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const file = readdirSync(folder).find(entry => /^licen[cs]e/i.test(entry))
    const text =
      file === undefined
        ? 'No text comes with the package.\n'
        : readFileSync(join(folder, file), 'utf8')
    return `== ${one} ${at} (${license})\n\n${text.trim()}\n`
  })
  const own = ['LICENSE-MIT', 'LICENSE-APACHE'].map(file => readFileSync(join(root, file), 'utf8'))
  const node = `== Node.js ${process.version}\n\nMIT and others: the file LICENSE of its source at that version.\n`
  return [`== crateferry ${version} (MIT or Apache-2.0)\n\n${own.join('\n')}`, node, ...texts].join(
    '\n',
  )
}

function sums() {
  const files = readdirSync(out).sort()
  return files.map(file => `${sha256(readFileSync(join(out, file)))}  ${file}\n`).join('')
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}
