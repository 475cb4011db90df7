import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { test as base, expect } from 'vitest'
import {
  judge,
  type OwnerRecord,
  ownRecord,
  readOwnerRecords,
  type Verdict,
  writeOwnerRecord,
} from '../../src/store/owner-record.ts'

const TOKENS = ['a', 'b', 'c'].map(letter => letter.repeat(32))
const [TOKEN = ''] = TOKENS
const NOW = new Date('2026-11-26T10:00:00.123Z')
const OURS = ownRecord(TOKEN, { command: 'sync', now: NOW })

const test = base.extend('root', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'owner-'))
  onCleanup(() => folder.remove())
  mkdirSync(join(folder.path, 'state/owners'), { recursive: true })
  return folder.path
})

test('the record says which process it is, and is put in place whole', async ({ root }) => {
  expect(OURS).toMatchObject({ pid: process.pid, since: '2026-11-26T10:00:00Z', command: 'sync' })
  expect(OURS.startTick).toMatch(/^[0-9]+$/)
  await writeOwnerRecord(root, OURS)
  expect(readOwnerRecords(root)).toEqual([OURS])
  expect(readdirSync(join(root, 'state/owners'))).toEqual([TOKEN])
  expect(readdirSync(join(root, 'state/owners', TOKEN))).toEqual(['owner.json'])
})

test('records are found in one order, and what is no record is passed over', async ({ root }) => {
  for (const token of TOKENS.toReversed()) {
    await writeOwnerRecord(root, { ...OURS, token, command: token })
  }
  const at = (name: string): string => join(root, 'state/owners', name)
  mkdirSync(at('dead-1'))
  mkdirSync(at('d'.repeat(32)))
  writeFileSync(at('e'.repeat(32)), 'no folder')
  writeFileSync(join(at(TOKEN), 'owner.json'), JSON.stringify({ ...OURS, pid: 'one' }))
  expect(readOwnerRecords(root).map(({ token }) => token)).toEqual(TOKENS.slice(1))
  // a folder that was copied speaks for nobody
  writeFileSync(join(at(TOKEN), 'owner.json'), readFileSync(join(at('b'.repeat(32)), 'owner.json')))
  expect(readOwnerRecords(root).map(({ token }) => token)).toEqual(TOKENS.slice(1))
})

test('a record that was tidied away before it stood is a lost lock', async ({ root }) => {
  const writing = writeOwnerRecord(root, OURS)
  const tidying = (async () => {
    while (!existsSync(join(root, `state/owners/${TOKEN}.new/owner.json`))) {
      await setImmediate()
    }
    rmSync(join(root, `state/owners/${TOKEN}.new`), { recursive: true })
  })()
  const [written] = await Promise.allSettled([writing, tidying])
  expect(written).toMatchObject({ status: 'rejected', reason: { name: 'LockLost' } })
})

test('death is told by the process and the boot, and never across a wall we cannot see through', () => {
  const verdicts: [Verdict, string, Partial<OwnerRecord>][] = [
    ['alive', 'this very process', {}],
    ['dead', 'another process with its pid', { startTick: '1' }],
    ['dead', 'no such process', { pid: 2 ** 22 + 1 }],
    ['dead', 'before a reboot', { bootId: 'another' }],
    ['dead', 'before a reboot, in a container', { bootId: 'another', pidNamespace: 'another' }],
    ['unknown', 'another container', { pidNamespace: 'another' }],
    ['unknown', 'another container, and no such pid here', { pidNamespace: '', pid: 2 ** 22 + 1 }],
    ['unknown', 'another machine', { machineId: 'another', bootId: 'another' }],
    ['unknown', 'a machine without an id', { machineId: '', bootId: 'another' }],
    ['unknown', 'a system that tells nothing', { machineId: '', bootId: '', pidNamespace: '' }],
  ]
  for (const [verdict, who, changes] of verdicts) {
    expect(judge({ ...OURS, ...changes }), who).toBe(verdict)
  }
})

test('where the system tells nothing of itself, an owner like that is not taken for ours', () => {
  const nowhere = { machineId: '', bootId: '', pidNamespace: '' }
  const elsewhere = { ...OURS, ...nowhere, pid: 2 ** 22 + 1 }
  expect(judge(elsewhere, nowhere)).toBe('unknown')
  expect(judge({ ...elsewhere, bootId: 'another' }, { ...nowhere, bootId: 'ours' })).toBe('unknown')
  const bootless = { ...nowhere, pidNamespace: OURS.pidNamespace }
  expect(judge({ ...elsewhere, ...bootless }, bootless)).toBe('unknown')
  const unseen = { ...nowhere, bootId: OURS.bootId }
  expect(judge({ ...elsewhere, bootId: OURS.bootId }, unseen)).toBe('unknown')
})

test('a process that ended but was never waited for is dead', async () => {
  // the shell starts a child and then becomes a program that never waits for it
  const parent = spawn('/bin/sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const [said] = await once(parent.stdout, 'data')
    const pid = Number(said)
    const fields = (): string[] =>
      readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    const record = { ...OURS, pid, startTick: fields()[19] ?? '' }
    expect(judge(record)).toBe('alive')
    await expect.poll(() => fields()[0]).toBe('Z')
    expect(judge(record)).toBe('dead')
  } finally {
    parent.kill('SIGKILL')
  }
})
