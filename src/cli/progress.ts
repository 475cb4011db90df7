import { clearLine, cursorTo } from 'node:readline'
import type { Carrying } from '../bundle/carrying.ts'
import type { Progress } from '../sync/run.ts'
import { bytesText, durationText } from '../units.ts'
import type { Output } from './context.ts'

const TERMINAL_MS = 200
const LINE_MS = 60_000
/** The rate is that of the last ten seconds. */
const WINDOW_MS = 10_000

/** Shows how far something is: one line that moves on a terminal, else a line a minute. */
export class ProgressLine implements Disposable {
  readonly #line: () => string
  readonly #out: Output
  readonly #timer: NodeJS.Timeout

  constructor(line: () => string, out: Output) {
    this.#line = line
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
}

/** What a run does, as a line of text. */
export function runLine(progress: Progress): () => string {
  const rate = new Rate()
  return () => {
    const { phase, bytes, artifactsDone } = progress
    if (phase === 'look') return looked(progress, rate)
    if (phase !== 'fetch' && phase !== 'adopt') return `${phase} …`
    const { bytesPerSecond, filesPerSecond } = rate.at({ bytes, files: artifactsDone })
    const speed = `${bytesText(bytes)}, ${bytesText(Math.round(bytesPerSecond))}/s`
    if (phase === 'adopt') return `adopt: ${artifactsDone} crates read, ${speed}`
    return `${fetched(progress, filesPerSecond, speed)}`
  }
}

function fetched(progress: Progress, filesPerSecond: number, speed: string): string {
  const { crates, cratesExamined, artifacts, artifactsDone } = progress
  // while index files are still being read nobody knows how many artifacts they name
  const expected = cratesExamined === 0 ? 0 : (artifacts * crates) / cratesExamined
  const left = durationText((expected - artifactsDone) / filesPerSecond)
  const about = cratesExamined < crates ? 'about ' : ''
  return `fetch: ${cratesExamined}/${crates} crates, ${artifactsDone} of ${about}${Math.round(expected)} artifacts, ${speed}, ${left} left`
}

function looked({ bytes, crates, cratesExamined }: Progress, rate: Rate): string {
  const { filesPerSecond } = rate.at({ bytes, files: cratesExamined })
  const left = durationText((crates - cratesExamined) / filesPerSecond)
  return `look: ${cratesExamined}/${crates} index files, ${Math.round(filesPerSecond)}/s, ${left} left`
}

/** What an export or a check of a bundle does. */
export function carryingLine(carrying: Carrying): () => string {
  const rate = new Rate()
  return () => {
    const { phase, bytes, of, what } = carrying
    if (of === 0) return `${phase} …`
    const { bytesPerSecond } = rate.at({ bytes, files: 0 })
    const speed = `${bytesText(Math.round(bytesPerSecond))}/s`
    const left = durationText((of - bytes) / bytesPerSecond)
    return `${phase}: ${what}, ${bytesText(bytes)} of ${bytesText(of)}, ${speed}, ${left} left`
  }
}

interface Amount {
  readonly bytes: number
  readonly files: number
}

class Rate {
  readonly #samples: (Amount & { readonly at: number })[] = []

  at(amount: Amount): { readonly bytesPerSecond: number; readonly filesPerSecond: number } {
    const at = performance.now()
    this.#samples.push({ at, ...amount })
    while ((this.#samples[1]?.at ?? at) < at - WINDOW_MS) this.#samples.shift()
    const first = this.#samples[0]
    if (first === undefined || first.at === at) return { bytesPerSecond: 0, filesPerSecond: 0 }
    const seconds = (at - first.at) / 1000
    return {
      bytesPerSecond: (amount.bytes - first.bytes) / seconds,
      filesPerSecond: (amount.files - first.files) / seconds,
    }
  }
}
