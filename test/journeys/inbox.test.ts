import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { bagOn, Courier, copyOf } from '../bundle/carried.ts'
import { member, membersIn, reseal, rewriteVolume } from '../bundle/tamper.ts'
import { watch } from '../bundle/watching.ts'
import { expectExit } from '../crateferry.ts'

test('what arrives in an inbox is taken once it stands still, and once only', {
  timeout: 120_000,
}, async () => {
  await using courier = await Courier.make()
  const far = await courier.far()
  const inbox = courier.at('inbox')
  mkdirSync(inbox)
  const full = await courier.export('full')
  {
    await using watching = await watch(inbox, far)
    // still under way: no seal yet
    const bag = bagOn(full)
    const there = join(inbox, bag.slice(bag.lastIndexOf('/') + 1))
    copyOf(bag, there)
    renameSync(join(there, 'tagmanifest-sha256.txt'), courier.at('seal'))
    await sleep(4500)
    expect(existsSync(join(far, 'state/published'))).toBe(false)
    renameSync(courier.at('seal'), join(there, 'tagmanifest-sha256.txt'))
    await watching.until(/exit 0\n/)
    expect(existsSync(join(far, 'state/published'))).toBe(true)
    expect(readdirSync(join(far, 'state/outbox'))).toHaveLength(1)
    await sleep(4500)
    expect(runs(far)).toHaveLength(1)
    // what is refused in its form is told, once
    const other = copyOf(there, there.replace('-m01', '-m02'))
    writeFileSync(join(other, 'tagmanifest-sha256.txt'), 'not a manifest\n')
    const refusal =
      /inbox: crateferry: .*tagmanifest-sha256\.txt: line 1: "not a manifest" is not allowed/g
    await watching.until(refusal)
    await sleep(4500)
    expect(watching.said.match(refusal)).toHaveLength(1)
  }
})

const runs = (mirror: string): string[] =>
  readFileSync(join(mirror, 'state/runs.jsonl'), 'utf8').trimEnd().split('\n')

test('age is taken by policy or by an operator’s word, and a clock that runs back is seen', {
  timeout: 60_000,
}, async () => {
  await using courier = await Courier.make()
  const far = await courier.far()
  const full = await courier.export('full')
  const importing = ['bundle', 'import', full, '--mirror', far]

  // the timestamp ends after two days, the others later: 60 days on it is too old
  const refused = await courier.inDays(60, ...importing)
  expect(refused.exit).toBe(12)
  expect(existsSync(join(far, 'state/published'))).toBe(false)
  const word = ['--accept-stale-until', '2037-01-01', '--reason', 'the courier was ill']
  expect((await courier.inDays(60, ...importing, ...word)).exit).toBe(64)
  const until = new Date(Date.now() + 70 * 86_400_000).toISOString().slice(0, 10)
  const taken = await courier.inDays(
    60,
    ...importing,
    '--accept-stale-until',
    until,
    '--reason',
    'the courier was ill',
  )
  expect(taken.exit, taken.stderr).toBe(0)
  expect(taken.stderr).toMatch(/warning: timestamp\.json: .*taken until .* by --accept-stale-until/)
  const status = await courier.inDays(61, 'status', '--mirror', far)
  expect(status.stdout).toMatch(
    /^age {8}metadata expired \d+ d ago, imports take 45 d; root until /m,
  )
  expect(status.stdout).toMatch(/^override {3}taken past its end until .*: the courier was ill$/m)
  const outbox = join(far, 'state/outbox')
  const receipt = readFileSync(join(outbox, readdirSync(outbox)[0] ?? ''), 'utf8')
  expect(JSON.parse(receipt)).toMatchObject({ override: { reason: 'the courier was ill' } })

  // the clock of that import was wrong: trust begins again, by the fingerprint typed in
  await courier.registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.9')
  await courier.registry.sign()
  const next = await courier.export('next')
  const behind = await expectExit(15, 'bundle', 'import', next, '--mirror', far)
  expect(behind.stderr).toMatch(/the clock says .*, but metadata was accepted at /)
  const marker = JSON.parse(readFileSync(join(far, 'state/marker'), 'utf8')) as { root: string }
  const reset = ['trust', 'reset', '--reason', 'clock was wrong', '--mirror', far, '--fingerprint']
  await expectExit(64, ...reset, '0'.repeat(64))
  await expectExit(0, ...reset, marker.root)
  await courier.import(0, far, [next])
  const after = await expectExit(0, 'status', '--mirror', far)
  expect(after.stdout).toMatch(/^reset {6}trust began again .*: clock was wrong$/m)
  expect(after.stdout).not.toMatch(/^override/m)
  await expectExit(0, 'verify', '--mirror', far)
})

test('taken at half of the policy with a warning; forged dates on the medium count for nothing', {
  timeout: 60_000,
}, async () => {
  await using courier = await Courier.make()
  const far = await courier.far()
  const full = await courier.export('full')
  const bag = bagOn(full)
  const plan = join(bag, 'bundle.json')
  const text = readFileSync(plan, 'utf8')
  writeFileSync(plan, text.replace(/"createdAt":"\d{4}/, '"createdAt":"2099'))
  // members that nobody needs, and files that nothing lists
  const volume = join(bag, 'data/crates/crates-00001.tar')
  const crates = membersIn(volume)
  const stranger = member('crates/zzz/zzz-1.0.0.crate', Buffer.from('nobody knows it'))
  rewriteVolume(bag, 'crates-00001', [...crates, stranger])
  reseal(bag)
  writeFileSync(join(bag, 'autorun.inf'), 'open=evil.exe')
  writeFileSync(join(bag, 'data/crates/evil.sh'), '#!/bin/sh')
  const ended = await courier.import(0, far, [full])
  expect(ended.stderr).toContain(
    '2 files that nothing lists, not opened: "autorun.inf", "data/crates/evil.sh"',
  )
  const outbox = join(far, 'state/outbox')
  const receipt = JSON.parse(readFileSync(join(outbox, readdirSync(outbox)[0] ?? ''), 'utf8'))
  expect(receipt).toMatchObject({
    objects: { new: 19, present: 0, foreign: 1, damaged: 0, missing: 0 },
    bags: [{ medium: 1, result: 'whole' }],
  })
  const dry = await courier.import(0, far, [full], '--dry-run')
  expect(dry.json()).toMatchObject({ dryRun: { artifacts: 0 }, missing: 0 })
})
