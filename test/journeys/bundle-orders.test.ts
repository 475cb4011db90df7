import { expect, test } from 'vitest'
import { generator } from '../bench/load.ts'
import { Courier, shown } from '../bundle/carried.ts'
import { crateferry, expectExit } from '../crateferry.ts'

const SEED = Number(process.env['ORDERS_SEED'] ?? 5)
const TRIALS = 2
const CRATES = 80

test('bundles help or do nothing, in whatever order and however often they come (B3)', {
  timeout: 240_000,
}, async () => {
  await using courier = await Courier.make()
  const random = generator(SEED)
  const some = (n: number): number => Math.floor(random() * n)
  for (let n = 0; n < CRATES; n += 1) courier.add(`crate-${n}`)
  await courier.registry.sign()
  const media = [await courier.export('full-2')]
  for (const state of [3, 4, 5]) {
    for (let n = 0; n < 4; n += 1) courier.add(`crate-${some(CRATES)}`, `${state}.${n}.0`)
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
