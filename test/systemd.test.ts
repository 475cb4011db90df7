import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

/** The units as systemd itself judges them; CI has it. */
const hasSystemd = spawnSync('systemd-analyze', ['--version']).error === undefined
if (!hasSystemd) process.stderr.write('NOT TESTED: the units; there is no systemd-analyze here\n')

const scratch = mkdtempSync(join(tmpdir(), 'crateferry-units-'))
afterAll(() => rmSync(scratch, { recursive: true }))

const UNITS = readdirSync('systemd').filter(name => /\.(?:service|timer)$/.test(name))
const SERVICES = UNITS.filter(name => name.endsWith('.service'))

const analyze = (...args: string[]): { readonly status: number | null; readonly said: string } => {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', args, {
    env: { ...process.env, SYSTEMD_COLORS: '0' },
  })
  return { status, said: `${stdout}${stderr}` }
}

test.runIf(hasSystemd)('systemd finds nothing wrong with the units', () => {
  expect(UNITS).toHaveLength(3)
  for (const name of UNITS) {
    // a program that is there, wherever the tests run
    const text = readFileSync(join('systemd', name), 'utf8')
    writeFileSync(join(scratch, name), text.replaceAll('/usr/bin/crateferry ', '/bin/true '))
  }
  for (const name of UNITS) {
    const { status, said } = analyze('verify', join(scratch, name.replace('@', '@crates')))
    expect([status, said], name).toEqual([0, ''])
  }
})

test.runIf(hasSystemd)('no service is exposed more than 1.3 (P19)', () => {
  for (const name of SERVICES) {
    const { status, said } = analyze(
      'security',
      '--offline=true',
      '--threshold=13',
      `systemd/${name}`,
    )
    expect(status, said).toBe(0)
  }
  // the gate can fail: a service that says nothing
  writeFileSync(join(scratch, 'bare.service'), '[Service]\nExecStart=/bin/true\n')
  expect(
    analyze('security', '--offline=true', '--threshold=13', join(scratch, 'bare.service')).status,
  ).toBe(1)
})

test('the two services are hardened alike', () => {
  const hardening = (name: string): string[] => {
    const lines = readFileSync(join('systemd', name), 'utf8').split('\n')
    return lines.filter(
      line =>
        /^(?:User|Protect|Private|Restrict|SystemCall|Limit|Memory|No|Remove|Key|Lock|Device|Cap)/.test(
          line,
        ) && !line.startsWith('Notify'),
    )
  }
  expect(hardening('crateferry-sync@.service').sort()).toEqual(
    hardening('crateferry@.service').sort(),
  )
})
