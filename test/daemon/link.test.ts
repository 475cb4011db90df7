import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)

test('an address that comes and goes is noticed, and nothing is without one', async ({ skip }) => {
  const script = `
    const { Link } = await import(${JSON.stringify(resolve('src/daemon/link.ts'))})
    const { execFileSync } = await import('node:child_process')
    const link = new Link()
    const told = [link.hasChanged()]
    for (const what of ['add', 'del']) {
      execFileSync('ip', ['address', what, '192.0.2.7/32', 'dev', 'lo'])
      told.push(link.hasChanged(), link.hasChanged())
    }
    console.log(JSON.stringify(told))`
  const node = [process.execPath, '--input-type=module', '-e', script]
  // in a network of its own, where addresses harm nobody
  const apart = ['-rn', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', ...node]
  const { stdout } = await run('unshare', apart).catch(() =>
    skip('NO ADDRESS COMES OR GOES: there is no network of its own to be had here'),
  )
  expect(JSON.parse(stdout)).toEqual([false, true, false, true, false])
})
