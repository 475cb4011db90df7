#!/usr/bin/env node
// Plain JavaScript that an old Node can read. crateferry needs Node 26: under an older one a checkout
// restarts itself with its own `node` (a development dependency), an installed package says what it needs.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const NEEDED = 26
const at = path => fileURLToPath(new URL(path, import.meta.url))
const isCheckout = existsSync(at('../src/cli/main.ts'))
const own = at('../node_modules/.bin/node')

if (Number(process.versions.node.split('.')[0]) >= NEEDED) {
  const { main } = await import(isCheckout ? '../src/cli/main.ts' : '../dist/src/cli/main.js')
  await main()
} else if (isCheckout && existsSync(own) && process.env.CRATEFERRY_RESTARTED === undefined) {
  const env = { ...process.env, CRATEFERRY_RESTARTED: '1' }
  const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2)]
  const child = spawn(own, args, { stdio: 'inherit', env })
  // a terminal sends SIGINT to both of us; what a supervisor sends to one is passed on
  process.on('SIGINT', () => {})
  for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name))
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? code : 1
  })
} else {
  console.error(
    `crateferry needs Node ${NEEDED} or newer, this is ${process.versions.node}: install a newer Node, or run it with one: /path/to/node ${process.argv[1]}`,
  )
  process.exitCode = 64
}
