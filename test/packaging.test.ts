import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }

const run = promisify(execFile)
const NAME = `crateferry-${packageJson.version}-${process.platform}-${process.arch}`
const TIMES = { timeout: 120_000 }

const has = (program: string, loss: string): Promise<boolean> =>
  run('which', [program]).then(
    () => true,
    () => {
      process.stderr.write(`${loss}: there is no ${program} here\n`)
      return false
    },
  )

beforeAll(async () => {
  await run('npm', ['run', '-s', 'build:executable'])
}, 120_000)

test(
  'one file does the main job where there is no Node, and its checksums hold',
  TIMES,
  async () => {
    await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: 'build' })
    const listed = readFileSync('build/SHA256SUMS', 'utf8').trim().split('\n')
    const files = readdirSync('build').filter(file => file !== 'SHA256SUMS')
    expect(listed.map(line => line.slice(66))).toEqual(files.sort())
    await using elsewhere = await mkdtempDisposable(join(tmpdir(), 'crateferry-executable-'))
    const program = join(elsewhere.path, 'crateferry')
    cpSync(join('build', NAME), program)
    const path = (process.env['PATH'] ?? '').split(':').filter(one => !one.includes('node'))
    const options = {
      cwd: elsewhere.path,
      env: { PATH: path.join(':'), HOME: process.env['HOME'] },
    }
    expect((await run(program, ['--version'], options)).stdout.trim()).toBe(packageJson.version)
    const { stdout } = await run(program, ['demo', '--json'], options)
    const { ok, folder } = JSON.parse(stdout) as { ok: boolean; folder: string }
    expect(ok).toBe(true)

    // the files of the page are in it too
    const serving = [
      'serve',
      '--mirror',
      join(folder, 'mirror'),
      '--listen',
      '127.0.0.1:0',
      '--json',
    ]
    const server = spawn(program, serving, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = (await once(server.stdout, 'data')) as [Buffer]
    const { url } = JSON.parse(line.toString()) as { url: string }
    for (const [asset, file] of [
      ['page.js', 'src/serve/assets/page.js'],
      ['uplot.js', 'node_modules/uplot/dist/uPlot.iife.min.js'],
    ] as const) {
      const served = await (await fetch(`${url}/assets/${asset}`)).text()
      expect(served === readFileSync(file, 'utf8'), asset).toBe(true)
    }
    server.kill()
    expect((await once(server, 'exit'))[0]).toBe(0)
  },
)

test('it is built of the same bytes each time', TIMES, async () => {
  const before = readFileSync('build/SHA256SUMS', 'utf8')
  await run('npm', ['run', '-s', 'build:executable'])
  expect(readFileSync('build/SHA256SUMS', 'utf8')).toBe(before)
})

test('the licence of each package that a mirror runs is beside it', async () => {
  const text = readFileSync('build/LICENSES.txt', 'utf8')
  for (const [name, version] of Object.entries(packageJson.dependencies)) {
    expect(text).toContain(`== ${name} ${version} (`)
  }
})

const hasMandoc = await has('mandoc', 'THE MANUAL IS NOT CHECKED')

test.runIf(hasMandoc)('the manual page is well formed, and has each command', async () => {
  const lint = await run('mandoc', ['-T', 'lint', '-W', 'warning', 'build/crateferry.1']).catch(
    (error: { stdout: string }) => error,
  )
  // a date would make it another page each day
  const said = lint.stdout.split('\n').filter(line => !line.includes('missing date'))
  expect(said.filter(Boolean)).toEqual([])
  const { stdout } = await run('mandoc', ['-T', 'ascii', 'build/crateferry.1'])
  // bold is a letter, a backspace and the letter again
  const page = stdout
    .split('')
    .filter((_, at, all) => all[at] !== '\b' && all[at + 1] !== '\b')
    .join('')
  for (const words of ['sync', 'bundle export', 'doctor', 'root new <out>', '--limit-bytes <n>']) {
    expect(page).toContain(words)
  }
  expect(page).toMatch(/EXIT STATUS.* 17 +a guard stopped it/s)
})

/** What a real bash would offer for a line that is being typed. */
async function offered(line: string): Promise<string[]> {
  const script = `source build/crateferry.bash
COMP_LINE=$1 COMP_WORDS=($1) COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
if [[ $1 == *' ' ]]; then COMP_WORDS+=('') COMP_CWORD=$((COMP_CWORD + 1)); fi
_crateferry
printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = await run('bash', ['-c', script, 'bash', line])
  return stdout.split('\n').filter(Boolean)
}

test('bash completes commands, those below them, and options; files where a value is due', async () => {
  expect(await offered('crateferry ver')).toEqual(['verify'])
  expect(await offered('crateferry bundle ')).toEqual(
    expect.arrayContaining(['plan', 'export', 'verify', 'import', 'info', '--mirror']),
  )
  expect(await offered('crateferry --json bundle verify --who')).toEqual(['--whole'])
  expect(await offered('crateferry verify --rep')).toEqual(['--repair'])
  expect(await offered('crateferry verify --who')).toEqual([])
  expect(await offered('crateferry sync --mirror ')).toEqual([])
  expect(await offered('crateferry completion ')).toContain('--help')
})

const hasFish = await has('fish', 'NO COMPLETION OF FISH')

test.runIf(hasFish)('so does fish', async () => {
  const words = async (line: string): Promise<string[]> => {
    const script = `source build/crateferry.fish; complete -C "${line}"`
    const { stdout } = await run('fish', ['--no-config', '-c', script])
    return stdout.split('\n').flatMap(one => one.split('\t')[0] || [])
  }
  expect(await words('crateferry ver')).toEqual(['verify'])
  expect(await words('crateferry bundle e')).toEqual(['export'])
  expect(await words('crateferry bundle verify --who')).toEqual(['--whole'])
  expect(await words('crateferry verify --who')).toEqual([])
  expect(await words('crateferry verify --rep')).toEqual(['--repair'])
})

const hasZsh = await has('zsh', 'NO COMPLETION OF ZSH')

test.runIf(hasZsh)('zsh takes it as its own', async () => {
  const script =
    'autoload -U compinit && compinit -u -D; source build/crateferry.zsh; print $_comps[crateferry]'
  const { stdout } = await run('zsh', ['-f', '-c', script])
  expect(stdout.trim()).toMatch(/_bash_complete .*-F _crateferry/)
})
