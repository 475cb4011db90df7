import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    dir: 'test',
    isolate: false,
    reporters: ['default', './test/tally.ts'],
    // hundreds of commands are started: without their compiled code each takes twice the time
    env: { NODE_COMPILE_CACHE: resolve('node_modules/.cache/compiled') },
  },
})
