import type { MirrorReader } from '../store/reader.ts'
import { type Answer, JSON_TYPE, NEVER, NOT_HERE, TEXT, whole } from './answer.ts'
import { asset } from './assets.ts'
import { METRICS_TYPE, type Metrics } from './metrics.ts'
import { statusPage } from './page.ts'
import type { Route } from './routes.ts'
import type { Status } from './status.ts'

/** Whether what is published is as fresh as the operator wants it. */
export interface Readiness {
  readonly isReady: boolean
  /** For whoever asks; it holds no paths. */
  readonly line: string
}

export interface StatusSources {
  readonly reader: MirrorReader
  /** What is told of the mirror; without it there is only one line at `/`. */
  readonly status: (() => Promise<Status>) | undefined
  /** What `/readyz` says of a published state; without it any state will do. */
  readonly readiness: (() => Readiness) | undefined
  readonly metrics: Metrics
}

export type StatusRoute = Extract<
  Route,
  { readonly kind: 'page' | 'status' | 'asset' | 'metrics' | 'health' | 'readiness' }
>

const ABOUT = 'crateferry: a verified mirror of a crates registry; its index is at /index/\n'
const HEALTHY = 'ok\n'
const HTML_TYPE = 'text/html; charset=utf-8'
/** Facts are gathered once in this time, however many ask. */
const KEPT_MS = 2000

/** What is answered of the mirror as a whole, to people and to what watches it. */
export class StatusAnswers {
  readonly #sources: StatusSources
  #kept: { readonly at: number; readonly status: Promise<Status> } | undefined

  constructor(sources: StatusSources) {
    this.#sources = sources
  }

  async to(route: StatusRoute): Promise<Answer> {
    switch (route.kind) {
      case 'page': {
        const status = await this.#status()
        if (status === undefined) return whole(Buffer.from(ABOUT), { type: TEXT, cache: NEVER })
        const page = Buffer.from(statusPage(status))
        return { ...whole(page, { type: HTML_TYPE, cache: NEVER }), isPage: true }
      }
      case 'status': {
        const status = await this.#status()
        if (status === undefined) return NOT_HERE
        return whole(Buffer.from(JSON.stringify(status)), { type: JSON_TYPE, cache: NEVER })
      }
      case 'asset':
        return asset(route.name) ?? NOT_HERE
      case 'metrics': {
        const text = await this.#sources.metrics.text(await this.#status())
        return whole(Buffer.from(text), { type: METRICS_TYPE, cache: NEVER })
      }
      case 'health':
        return whole(Buffer.from(HEALTHY), { type: TEXT, cache: NEVER })
      case 'readiness':
        return this.#ready()
    }
    return route satisfies never
  }

  async #status(): Promise<Status | undefined> {
    const { status } = this.#sources
    if (status === undefined) return undefined
    const now = performance.now()
    if (this.#kept === undefined || now - this.#kept.at > KEPT_MS) {
      this.#kept = { at: now, status: status() }
    }
    return await this.#kept.status
  }

  /** Whether clients should be sent here: something is published, and lately compared with its source. */
  #ready(): Answer {
    const { reader, readiness } = this.#sources
    if (reader.published() === undefined) return { status: 503, line: 'nothing is published' }
    const { isReady, line } = readiness?.() ?? { isReady: true, line: 'ready' }
    if (!isReady) return { status: 503, line }
    return whole(Buffer.from(`${line}\n`), { type: TEXT, cache: NEVER })
  }
}
