import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { generator } from '../bench/load.ts'
import { Courier } from '../bundle/carried.ts'
import { contents, crateferry, expectExit } from '../crateferry.ts'

const SEED = Number(process.env['ORDERS_SEED'] ?? 5)
const TRIALS = 2
const CRATES = 80

/** What a mirror shows under names that change. */
async function shown(mirror: string): Promise<object> {
  const files = Object.entries(await contents(join(mirror, 'public')))
  return Object.fromEntries(
    files.filter(
      ([file]) => !/[0-9a-f]{64}\.|config\.json|\.(?:snapshot|targets)\.json$/.test(file),
    ),
  )
}

function publish(plain: string, name: string, version: string): void {
  const bytes = Buffer.from(`${name} ${version}`)
  const folder = join(plain, 'crates', name)
  const index = join(plain, 'index', name.slice(0, 2), name.slice(2, 4))
  for (const one of [folder, index]) mkdirSync(one, { recursive: true })
  writeFileSync(join(folder, `${name}-${version}.crate`), bytes)
  const line = { name, vers: version, deps: [], cksum: sha256(bytes), features: {}, yanked: false }
  appendFileSync(join(index, name), `${JSON.stringify(line)}\n`)
}

test('bundles help or do nothing, in whatever order and however often they come (B3)', {
  timeout: 240_000,
}, async () => {
  await using courier = await Courier.make()
  const plain = courier.registry.at('plain')
  const random = generator(SEED)
  const some = (n: number): number => Math.floor(random() * n)
  for (let n = 0; n < CRATES; n += 1) publish(plain, `crate-${n}`, '1.0.0')
  await courier.registry.sign()
  const media = [await courier.export('full-2')]
  for (const state of [3, 4, 5]) {
    for (let n = 0; n < 4; n += 1) publish(plain, `crate-${some(CRATES)}`, `${state}.${n}.0`)
    await courier.registry.sign()
    const base = 2 + some(state - 2)
    media.push(await courier.export(`to-${state}-from-${base}`, '--base', `targets:${base}`))
    media.push(await courier.export(`to-${state}`, '--base', `targets:${state - 1}`))
  }
  const want = await shown(courier.near)

  for (let trial = 0; trial < TRIALS; trial += 1) {
    const far = await courier.far(`far-${trial}`)
    const order = [...media, ...media.filter(() => random() < 0.3)]
      .map(medium => ({ medium, lot: random() }))
      .sort((a, b) => a.lot - b.lot)
      .map(({ medium }) => medium.slice(medium.lastIndexOf('/') + 1))
    const at = `seed ${SEED}, trial ${trial}: ${order.join(' ')}`
    for (const medium of order) {
      const { exit, stderr } = await crateferry(
        'bundle',
        'import',
        courier.at(medium),
        '--mirror',
        far,
      )
      // published, pending, or older than what is trusted and of no use
      expect([0, 3, 13], `${at}: ${medium}\n${stderr}`).toContain(exit)
    }
    // what nothing here could prove when it came was not kept: with all media at hand nothing is missing
    await crateferry('bundle', 'import', ...media, '--mirror', far)
    expect(await shown(far), at).toEqual(want)
    await expectExit(0, 'verify', '--mirror', far)
  }
})
