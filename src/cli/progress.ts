import { clearLine, cursorTo } from 'node:readline'
import type { Progress } from '../sync/run.ts'
import type { Output } from './context.ts'
import { bytesText, durationText } from './report.ts'

const TERMINAL_MS = 200
const LINE_MS = 60_000
/** The rate is that of the last ten seconds. */
const WINDOW_MS = 10_000

/** Shows a run's progress: one line that moves on a terminal, else a line a minute. */
export class ProgressLine implements Disposable {
  readonly #progress: Progress
  readonly #out: Output
  readonly #timer: NodeJS.Timeout
  readonly #samples: { readonly at: number; readonly bytes: number; readonly files: number }[] = []

  constructor(progress: Progress, out: Output) {
    this.#progress = progress
    this.#out = out
    const every = out.isTerminal ? TERMINAL_MS : LINE_MS
    this.#timer = setInterval(() => this.#show(), every).unref()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    if (this.#out.isTerminal) this.#clear()
  }

  #show(): void {
    const line = this.#line()
    if (!this.#out.isTerminal) {
      this.#out.say(line)
      return
    }
    this.#clear()
    process.stderr.write(line.slice(0, (process.stderr.columns ?? 80) - 1))
  }

  #clear(): void {
    cursorTo(process.stderr, 0)
    clearLine(process.stderr, 0)
  }

  #line(): string {
    const { phase, crates, cratesExamined, artifacts, artifactsDone, bytes } = this.#progress
    if (phase === 'look') return this.#looks()
    if (phase !== 'fetch' && phase !== 'adopt') return `${phase} …`
    const { bytesPerSecond, filesPerSecond } = this.#rate(artifactsDone)
    if (phase === 'adopt') {
      return `adopt: ${artifactsDone} crates read, ${bytesText(bytes)}, ${bytesText(Math.round(bytesPerSecond))}/s`
    }
    // while index files are still being read nobody knows how many artifacts they name
    const expected = cratesExamined === 0 ? 0 : (artifacts * crates) / cratesExamined
    const left = durationText((expected - artifactsDone) / filesPerSecond)
    const about = cratesExamined < crates ? 'about ' : ''
    return `fetch: ${cratesExamined}/${crates} crates, ${artifactsDone} of ${about}${Math.round(expected)} artifacts, ${bytesText(bytes)}, ${bytesText(Math.round(bytesPerSecond))}/s, ${left} left`
  }

  #looks(): string {
    const { crates, cratesExamined } = this.#progress
    const { filesPerSecond } = this.#rate(cratesExamined)
    const left = durationText((crates - cratesExamined) / filesPerSecond)
    return `look: ${cratesExamined}/${crates} index files, ${Math.round(filesPerSecond)}/s, ${left} left`
  }

  #rate(files: number): { readonly bytesPerSecond: number; readonly filesPerSecond: number } {
    const { bytes } = this.#progress
    const at = performance.now()
    this.#samples.push({ at, bytes, files })
    while ((this.#samples[1]?.at ?? at) < at - WINDOW_MS) this.#samples.shift()
    const first = this.#samples[0]
    if (first === undefined || first.at === at) return { bytesPerSecond: 0, filesPerSecond: 0 }
    const seconds = (at - first.at) / 1000
    return {
      bytesPerSecond: (bytes - first.bytes) / seconds,
      filesPerSecond: (files - first.files) / seconds,
    }
  }
}
