import { mkdir, mkdtempDisposable, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { buildShim, type Fault, type FaultRun, runWithFault } from './shim.ts'

/** Where there is no compiler these tests are left out, and buildShim has said so on stderr. */
const shim = await buildShim()

interface Tried extends FaultRun {
  /** The folder the script worked in, with what the fault left there. */
  readonly mirror: string
}

/** Runs `script` in a fresh `mirror`, whose calls count, beside the script, whose do not. */
async function tried<T>(
  script: string,
  fault: Fault | 'count',
  look: (run: Tried) => T | Promise<T>,
): Promise<T> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-shim-test-'))
  const mirror = join(folder.path, 'mirror')
  const file = join(folder.path, 'script.mjs')
  await mkdir(mirror)
  await writeFile(file, `process.chdir(${JSON.stringify(mirror)})\n${script}`)
  const signal = AbortSignal.timeout(20_000)
  const run = await runWithFault(process.execPath, [file], { prefix: mirror, fault, signal })
  return await look({
    ...run,
    mirror,
    log: run.log.map(line => line.replaceAll(mirror, '.')),
  })
}

const calls = (lines: string): string[] =>
  lines
    .trim()
    .split('\n')
    .map((line, at) => `${at + 1} ${line.trim()}`)

test.runIf(shim)('every kind of synchronous call is counted, in order', async () => {
  const script = `
    import fs from 'node:fs'
    import { execFileSync } from 'node:child_process'
    fs.mkdirSync('d')
    fs.writeFileSync('../beside', 'not below the prefix')
    fs.writeFileSync('d/a', 'bytes', { flush: true })
    fs.renameSync('d/a', 'd/b')
    fs.linkSync('d/b', 'd/c')
    fs.unlinkSync('d/c')
    fs.copyFileSync('d/b', '../copied out of the prefix')
    fs.rmSync('d', { recursive: true })
    execFileSync('sync', ['-f', '.'])`
  await tried(script, 'count', run => {
    expect(run).toMatchObject({ exit: 0, calls: 11, reached: false })
    expect(run.log).toEqual(
      calls(`mkdir ./d
             open ./d/a
             write ./d/a
             fsync ./d/a
             rename ./d/a -> ./d/b
             link ./d/b -> ./d/c
             unlink ./d/c
             unlink ./d/b
             unlink ./d
             rmdir ./d
             syncfs .`),
    )
  })
})

test.runIf(shim)('every kind of call of the thread pool is counted, in order', async () => {
  const script = `
    import * as fs from 'node:fs/promises'
    const bytes = Buffer.from('0123456789')
    await fs.mkdir('d')
    const file = await fs.open('d/a', 'wx')
    await file.writeFile(bytes)
    await file.write(bytes, 0, 10, 10)
    await file.writev([bytes, bytes])
    await file.writev([bytes, bytes], 40)
    await file.truncate(50)
    await file.datasync()
    await file.sync()
    await file.chmod(0o644)
    await file.close()
    await fs.rename('d/a', 'd/b')
    await fs.link('d/b', 'd/c')
    await fs.symlink('b', 'd/s')
    await fs.copyFile('d/b', 'd/copy')
    await fs.unlink('d/c')
    await fs.mkdir('d/e')
    await fs.rmdir('d/e')
    await fs.readFile('d/b')
    const folder = await fs.open('d')
    await folder.sync()
    await folder.close()`
  await tried(script, 'count', run => {
    expect(run).toMatchObject({ exit: 0, calls: 21 })
    expect(run.log).toEqual(
      calls(`mkdir ./d
             open ./d/a
             write ./d/a
             pwrite ./d/a
             writev ./d/a
             pwritev ./d/a
             ftruncate ./d/a
             fdatasync ./d/a
             fsync ./d/a
             chmod ./d/a
             rename ./d/a -> ./d/b
             link ./d/b -> ./d/c
             symlink ./d/s
             open ./d/copy
             ftruncate ./d/copy
             chmod ./d/copy
             copy_file_range ./d/copy
             unlink ./d/c
             mkdir ./d/e
             rmdir ./d/e
             fsync ./d`),
    )
  })
})

test.runIf(shim)(
  'calls of parallel threads and of child processes share one sequence',
  async () => {
    const script = `
    import { writeFile } from 'node:fs/promises'
    import { execFileSync } from 'node:child_process'
    await Promise.all(Array.from({ length: 40 }, (_, i) => writeFile('f' + i, 'bytes')))
    execFileSync('sh', ['-c', 'mkdir child && sync -f child'])
    await writeFile('last', 'bytes')`
    await tried(script, 'count', run => {
      expect(run.calls).toBe(84)
      expect(run.log.map(line => Number.parseInt(line, 10))).toEqual(
        Array.from({ length: 84 }, (_, i) => i + 1),
      )
      expect(run.log.slice(80)).toEqual([
        '81 mkdir ./child',
        '82 syncfs ./child',
        '83 open ./last',
        '84 write ./last',
      ])
    })
  },
)

/** Writes `got`, beside the mirror, after each step: what it says is what the script lived to see. */
const FIVE_STEPS = `
  import fs from 'node:fs'
  const steps = [
    () => fs.mkdirSync('d'),
    () => fs.closeSync(fs.openSync('d/a', 'w')),
    () => { const f = fs.openSync('d/a', 'r+'); try { return fs.writeSync(f, '0123456789') } finally { fs.closeSync(f) } },
    () => fs.renameSync('d/a', 'd/b'),
  ]
  const got = []
  for (const step of steps) {
    try { got.push(step() ?? 'ok') } catch (error) { got.push(error.code) }
    fs.writeFileSync('../got', got.join(' '))
  }`
const got = (run: Tried): Promise<string> => readFile(join(run.mirror, '../got'), 'utf8')

test.runIf(shim)('KILL ends the program right before call n, for every n', async () => {
  const seen: string[] = []
  for (let call = 1; call <= 6; call++) {
    await tried(FIVE_STEPS, { call, kind: 'KILL' }, async run => {
      const steps = run.calls === 1 ? '' : await got(run)
      seen.push(`${run.signal} ${run.reached} ${run.calls}: ${steps}`)
    })
  }
  expect(seen).toEqual([
    'SIGKILL true 1: ',
    'SIGKILL true 2: ok',
    'SIGKILL true 3: ok ok',
    'SIGKILL true 4: ok ok',
    'SIGKILL true 5: ok ok 10',
    'null false 5: ok ok 10 ok',
  ])
})

test.runIf(shim)('KILL in a child process takes the main program with it', async () => {
  const script = `
    import fs from 'node:fs'
    import { spawnSync } from 'node:child_process'
    spawnSync('sync', ['-f', '.'])
    fs.writeFileSync('../survived', '')`
  await tried(script, { call: 1, kind: 'KILL' }, async run => {
    expect(run).toMatchObject({ signal: 'SIGKILL', calls: 1, log: ['1 syncfs .'] })
    await expect(stat(join(run.mirror, '../survived'))).rejects.toThrow('ENOENT')
  })
})

test.runIf(shim).each([
  [{ call: 1, kind: 'EIO' }, 'EIO ENOENT ENOENT ENOENT'],
  [{ call: 2, kind: 'ENOSPC' }, 'ok ENOSPC ENOENT ENOENT'],
  [{ call: 4, kind: 'EIO' }, 'ok ok EIO ok'],
  [{ call: 4, kind: 'SHORT' }, 'ok ok 5 ok'],
  [{ call: 5, kind: 'ENOSPC' }, 'ok ok 10 ENOSPC'],
  [{ call: 5, kind: 'SHORT' }, 'ok ok 10 ok'],
  [{ call: 4, kind: 'ENOSPC', lasting: true }, 'ok ok ENOSPC ENOSPC'],
] as const)('%o happens at exactly that call', async (fault, expected) => {
  await tried(FIVE_STEPS, fault, async run => {
    expect(run).toMatchObject({ exit: 0, signal: null, reached: true })
    expect(await got(run)).toBe(expected)
  })
})

test.runIf(shim)('a failed write changed nothing, a short one wrote half', async () => {
  const script = `
    import fs from 'node:fs'
    const bytes = ['abc', 'defg', 'hij'].map(part => Buffer.from(part))
    const file = fs.openSync('a', 'w')
    fs.writevSync(file, bytes)
    fs.writevSync(file, bytes, 20)
    fs.writeSync(file, '0123456789', 40)`
  const left = (fault: Fault): Promise<string> =>
    tried(script, fault, run => readFile(join(run.mirror, 'a'), 'latin1'))
  const gap = '\0'.repeat(10)
  expect(await left({ call: 2, kind: 'SHORT' })).toBe(
    `abcde${'\0'.repeat(15)}abcdefghij${gap}0123456789`,
  )
  expect(await left({ call: 3, kind: 'SHORT' })).toBe(
    `abcdefghij${gap}abcde${gap}${'\0'.repeat(5)}0123456789`,
  )
  expect(await left({ call: 4, kind: 'SHORT' })).toBe(`abcdefghij${gap}abcdefghij${gap}01234`)
  expect(await left({ call: 4, kind: 'EIO' })).toBe(`abcdefghij${gap}abcdefghij`)
})
