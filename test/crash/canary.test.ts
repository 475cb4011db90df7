import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { faultsOf } from './invariants.ts'
import { orderFaults } from './order.ts'
import { faulted, prepared } from './prepared.ts'
import { buildShim, type FaultRun } from './shim.ts'

/** A rig that cannot see a bug proves nothing: these plant one in a copy of the program. */
const shim = await buildShim()

interface Bug {
  readonly file: string
  readonly right: string
  readonly wrong: string
}

async function withBug(
  { file, right, wrong }: Bug,
  work: (program: string) => Promise<void>,
): Promise<void> {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'crateferry-canary-'))
  const at = (name: string): string => join(scratch.path, name)
  for (const name of ['src', 'bin', 'package.json']) cpSync(name, at(name), { recursive: true })
  symlinkSync(resolve('node_modules'), at('node_modules'))
  mkdirSync(at('test'))
  const text = readFileSync(at(file), 'utf8')
  expect(text, 'the place to plant the bug is still there').toContain(right)
  writeFileSync(at(file), text.replace(right, wrong))
  await work(at('bin/crateferry.js'))
}

/** Runs the program with the bug, undisturbed: it must look well but for the order of its calls. */
async function countedWith(bug: Bug, look: (run: FaultRun) => void): Promise<void> {
  await prepared(async ({ before }) => {
    await withBug(bug, async program => {
      await faulted(
        before,
        'count',
        (_mirror, run) => {
          expect(run.exit, run.stderr).toBe(0)
          look(run)
        },
        program,
      )
    })
  })
}

test.runIf(shim)(
  'the canary: bytes of artifacts that are named unflushed are seen',
  {
    timeout: 120_000,
  },
  async () => {
    const bug = {
      file: 'src/store/landing.ts',
      right: 'await flushOrVoid(root, partials, [])',
      wrong: '',
    }
    await countedWith(bug, ({ log }) => {
      expect(orderFaults(log).join('\n')).toMatch(/\.crate was named before its bytes were flushed/)
    })
  },
)

test.runIf(shim)(
  'the canary: names that are decided on unflushed are seen',
  {
    timeout: 120_000,
  },
  async () => {
    const bug = {
      file: 'src/store/landing.ts',
      right: 'await flushOrVoid(root, named, foldersAbove(root, named))',
      wrong: '',
    }
    await countedWith(bug, ({ log }) => {
      expect(orderFaults(log).join('\n')).toMatch(/state\/next was named before .* was flushed/)
    })
  },
)

test.runIf(shim)(
  'the canary: a snapshot that is published before its files is seen by a kill',
  {
    timeout: 180_000,
  },
  async () => {
    const bug = {
      file: 'src/store/publish.ts',
      right: 'const gone = await appear(writer, changed)',
      wrong:
        'await conclude(writer, next)\n    await discardFile(writer.at(NEXT))\n    const gone = await appear(writer, changed)',
    }
    await prepared(async ({ before }) => {
      await withBug(bug, async program => {
        const { log } = await faulted(before, 'count', () => {}, program)
        const call = log.findIndex(line => line.endsWith('/state/published')) + 4
        await faulted(
          before,
          { call, kind: 'KILL' },
          mirror => {
            expect(faultsOf(mirror, { atLeast: 1 }).join('\n')).toMatch(/I4: /)
          },
          program,
        )
      })
    })
  },
)
