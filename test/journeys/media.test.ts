import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bagOn, Courier } from '../bundle/carried.ts'
import { expectExit } from '../crateferry.ts'

/** Images, most without root; where a program is missing that is said, and CI has them all. */
function has(...programs: string[]): boolean {
  const missing = programs.filter(name => spawnSync(name, ['--version']).error !== undefined)
  if (missing.length > 0)
    process.stderr.write(`NOT TESTED: there is no ${missing.join(', ')} here\n`)
  return missing.length === 0
}

/** What went through an image is the bag it was, to coreutils, to a check with only a root, to an import. */
async function expectCarried(courier: Courier, medium: string, far: string): Promise<void> {
  const check = ['-c', '--strict', '--quiet', 'tagmanifest-sha256.txt', 'manifest-sha256.txt']
  execFileSync('sha256sum', check, { cwd: bagOn(medium) })
  await expectExit(0, 'bundle', 'verify', medium, '--root', courier.registry.root, '--whole')
  await courier.import(0, await courier.far(far), [medium])
  await expectExit(0, 'verify', '--mirror', courier.at(far))
}

test.runIf(has('mformat', 'mcopy'))('a bag goes through FAT32', { timeout: 60_000 }, async () => {
  await using courier = await Courier.make()
  const bag = bagOn(await courier.export('full'))
  const image = courier.at('stick.img')
  const size = String(40 * 2 ** 20)
  execFileSync('truncate', ['-s', size, image])
  execFileSync('mformat', ['-F', '-i', image, '::'])
  execFileSync('mcopy', ['-s', '-i', image, bag, '::'])
  const back = courier.at('fat')
  mkdirSync(back)
  execFileSync('mcopy', ['-s', '-i', image, `::${bag.slice(bag.lastIndexOf('/') + 1)}`, back])
  await expectCarried(courier, back, 'far')
})

test.runIf(has('xorriso'))(
  'a bag goes through ISO 9660, plain and Joliet',
  { timeout: 60_000 },
  async () => {
    await using courier = await Courier.make()
    const full = await courier.export('full')
    for (const [name, form] of [
      ['joliet', ['-J', '-R']],
      ['level-2', ['-iso-level', '2', '-R']],
    ] as const) {
      const image = courier.at(`${name}.iso`)
      const back = courier.at(name)
      execFileSync('xorriso', ['-as', 'mkisofs', '-quiet', ...form, '-o', image, full], {
        stdio: 'pipe',
      })
      execFileSync('xorriso', ['-osirrox', 'on', '-indev', image, '-extract', '/', back], {
        stdio: 'pipe',
      })
      execFileSync('chmod', ['-R', 'u+w', back])
      await expectCarried(courier, back, `far-${name}`)
    }
  },
)

/** A real exFAT, through its FUSE driver on a loop device: that takes root. */
test.runIf(has('mkfs.exfat', 'mount.exfat-fuse', 'losetup'))(
  'a bag is written to exFAT, read back, and taken from there',
  { timeout: 60_000 },
  async () => {
    await using courier = await Courier.make()
    const [image, stick] = [courier.at('stick.img'), courier.at('stick')]
    mkdirSync(stick)
    execFileSync('truncate', ['-s', '64M', image])
    execFileSync('mkfs.exfat', [image], { stdio: 'pipe' })
    const loop = spawnSync('losetup', ['-f', '--show', image]).stdout.toString().trim()
    const mount = (): boolean => spawnSync('mount.exfat-fuse', [loop, stick]).status === 0
    if (loop === '' || !mount()) {
      process.stderr.write('NOT TESTED: a mounted exFAT; it needs root, loop devices and FUSE\n')
      return
    }
    try {
      const args = ['bundle', 'export', '--to', stick, '--mirror', courier.near]
      const { stdout } = await expectExit(0, ...args)
      expect(stdout).toContain('written, read back, safe to remove')
      // pulled, and put into another machine
      execFileSync('umount', [stick])
      expect(mount()).toBe(true)
      await expectCarried(courier, stick, 'far')
      rmSync(bagOn(stick), { recursive: true })
      spawnSync('dd', ['if=/dev/zero', `of=${join(stick, 'holiday.mp4')}`, 'bs=64k'])
      const full = await expectExit(20, ...args)
      expect(full.stderr).toMatch(
        /stick: \d+ bytes are free, the bag needs \d+; use a larger medium/,
      )
    } finally {
      spawnSync('umount', [stick])
      spawnSync('losetup', ['-d', loop])
    }
  },
)

test.runIf(has('bsdtar', 'tar'))('GNU tar and bsdtar take the crates out of a volume', async () => {
  await using courier = await Courier.make()
  const bag = bagOn(await courier.export('full'))
  for (const program of ['tar', 'bsdtar']) {
    const out = courier.at(program)
    mkdirSync(out)
    execFileSync(program, ['-xf', join(bag, 'data/crates/crates-00001.tar')], { cwd: out })
    const script = `cut -f3,4 --output-delimiter='  ' "$0" | sha256sum -c --strict --quiet`
    const idx = join(bag, 'data/crates/crates-00001.idx')
    expect(() => execFileSync('sh', ['-c', script, idx], { cwd: out })).not.toThrow()
    expect(readdirSync(out)).toEqual(['crates'])
  }
})
