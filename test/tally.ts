import type { Reporter, TestModule } from 'vitest/node'

/** Closes a run with one line that any CI can read; a skip is said loudly, with its name. */
export default class Tally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap(module => [...module.children.allTests()])
    for (const test of tests) {
      if (test.result().state === 'skipped') console.log(`SKIPPED: ${test.fullName}`)
    }
    const count = (state: string): number =>
      tests.filter(test => test.result().state === state).length
    const broken = modules.filter(
      module => module.state() === 'failed' && module.errors().length > 0,
    )
    const failed = count('failed') + broken.length + errors.length
    console.log(`${count('passed')} passed, ${failed} failed, ${count('skipped')} skipped`)
  }
}
