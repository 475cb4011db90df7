import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    dir: 'test',
    isolate: false,
    // most of the time is spent in commands that tests wait for, so every core has a worker
    maxWorkers: '100%',
    reporters: ['default', './test/tally.ts'],
    // hundreds of commands are started: without their compiled code each takes twice the time
    env: { NODE_COMPILE_CACHE: resolve('node_modules/.cache/compiled') },
  },
})
