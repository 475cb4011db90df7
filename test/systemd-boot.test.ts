import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }

const EXECUTABLE = `crateferry-${packageJson.version}-${process.platform}-${process.arch}`
const BOOT_MS = 540_000

/** User-mode Linux boots as a program of this machine, with its files; nothing of them is changed. */
const isRoot = process.getuid?.() === 0
const canBoot =
  isRoot &&
  ['linux.uml', 'systemctl', 'curl', 'nsenter'].every(
    program => spawnSync('which', [program]).status === 0,
  )
if (!canBoot) {
  process.stderr.write(
    'NO UNIT IS STARTED: user-mode Linux or systemd is not here, or we are not root\n',
  )
}

test.runIf(canBoot)(
  'the units under a real systemd: hardened, started anew when killed or hung, fed by an inbox and a stick (P19)',
  { timeout: BOOT_MS + 60_000 },
  async () => {
    const share = mkdtempSync(join(tmpdir(), 'crateferry-boot-'))
    expect(spawnSync('npm', ['run', '-s', 'build:executable', '--', share]).status).toBe(0)
    cpSync(join(share, EXECUTABLE), join(share, 'crateferry'))
    cpSync('systemd', join(share, 'systemd'), { recursive: true })
    cpSync('fixtures/crates', join(share, 'plain'), { recursive: true })
    cpSync('test/systemd/trial.sh', join(share, 'trial.sh'))
    const root = ['root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro']
    const init = [`init=${resolve('test/systemd/init.sh')}`, `share=${share}`]
    const args = ['mem=1536M', ...root, ...init, 'con=null', 'con0=fd:0,fd:1', 'quiet']
    const machine = spawn('linux.uml', args, { stdio: 'ignore', detached: true })
    const late = setTimeout(() => process.kill(-(machine.pid ?? 0), 'SIGKILL'), BOOT_MS)
    await once(machine, 'exit')
    clearTimeout(late)
    const found = readFileSync(join(share, 'found'), 'utf8').trim().split('\n')
    const journal = existsSync(join(share, 'journal'))
      ? readFileSync(join(share, 'journal'), 'utf8').slice(-5000)
      : ''
    expect(found, journal).toEqual([
      'user crateferry',
      'folder crateferry 755',
      'started active, all, notify',
      expect.stringMatching(/^served [1-9]/),
      'exposure 1.3',
      'capabilities 0, no new privileges 1',
      'read-only none writable',
      'killed restarts 1, active',
      'watched restarts 0',
      expect.stringMatching(/^hung restarts 1, [1-9]/),
      expect.stringMatching(/^inbox [1-9]/),
      expect.stringMatching(/^stick [1-9]/),
      'stopped inactive, within ten seconds: yes',
      'sync success',
      'timer active',
      'verified crates',
      'verified far',
    ])
    rmSync(share, { recursive: true })
  },
)
