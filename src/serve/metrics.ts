import type { ServerResponse } from 'node:http'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { wrongFiles } from '../store/scrub.ts'
import type { Connections } from './connections.ts'
import type { Route } from './routes.ts'
import type { RunShown, Status } from './status.ts'

/** The text format of Prometheus, 0.0.4. */
export const METRICS_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE

/** What is counted of a request: written by whoever answers it. */
export interface Tally {
  /** Refused: before its path was looked at. */
  kind: Route['kind'] | 'refused'
  /** Of the body, given to the client. */
  bytes: number
}

const SECONDS_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60]

/** What a monitor reads at `/metrics`: counts of this process, and the status in numbers. No label comes from a request. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #requests: Counter<'kind' | 'status'>
  readonly #seconds: Histogram<'kind'>
  readonly #bytes: Counter<'kind'>

  constructor(connections: () => Pick<Connections, 'open' | 'refused' | 'evicted'>) {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    this.#requests = new Counter({
      name: 'crateferry_http_requests_total',
      help: 'Requests that were answered, by what they were for.',
      labelNames: ['kind', 'status'],
      registers,
    })
    this.#seconds = new Histogram({
      name: 'crateferry_http_request_seconds',
      help: 'From the head of a request to the end of its answer.',
      labelNames: ['kind'],
      buckets: SECONDS_BUCKETS,
      registers,
    })
    this.#bytes = new Counter({
      name: 'crateferry_http_body_bytes_total',
      help: 'Bytes of bodies that were given to clients.',
      labelNames: ['kind'],
      registers,
    })
    new Gauge({
      name: 'crateferry_http_connections',
      help: 'Open connections.',
      registers,
      collect() {
        this.set(connections().open)
      },
    })
    new Counter({
      name: 'crateferry_http_connections_dropped_total',
      help: 'Connections that were not taken, or that made room for others: there were too many.',
      labelNames: ['why'],
      registers,
      collect() {
        const { refused, evicted } = connections()
        this.reset()
        this.inc({ why: 'refused' }, refused)
        this.inc({ why: 'stalled' }, evicted)
      },
    })
  }

  /** Counts a request once its answer ends, however it ends; status 0: before an answer began. */
  follow(response: ServerResponse): Tally {
    const began = performance.now()
    const tally: Tally = { kind: 'refused', bytes: 0 }
    response.once('close', () => {
      const { kind, bytes } = tally
      this.#requests.inc({ kind, status: response.headersSent ? response.statusCode : 0 })
      this.#seconds.observe({ kind }, (performance.now() - began) / 1000)
      this.#bytes.inc({ kind }, bytes)
    })
    return tally
  }

  async text(status: Status | undefined): Promise<string> {
    const counted = await this.#registry.metrics()
    return status === undefined ? counted : `${counted}${await told(status).metrics()}`
  }
}

/** The status in numbers; what is not so is left out, or 0 where an alert would wait for it. */
function told(status: Status): Registry {
  const gauges = new Gauges()
  gauges.set('info', 'Always 1.', 1, { version: status.version, trust: status.trust.kind })
  snapshotOf(status, gauges)
  listsOf(status, gauges)
  gauges.set('disk_free_bytes', 'Bytes free where the mirror lies.', status.disk.freeBytes)
  gauges.set('disk_size_bytes', 'Bytes of that file system.', status.disk.sizeBytes)
  scrubOf(status, gauges)
  for (const run of newestOfEach(status.runs)) runOf(run, gauges)
  daemonOf(status, gauges)
  return gauges.registry
}

function snapshotOf({ published, fresh, expires, site }: Status, gauges: Gauges): void {
  gauges.set('snapshot_number', 'The published snapshot; 0: none.', published?.n ?? 0)
  if (published !== null) {
    gauges.set('snapshot_timestamp_seconds', 'When it was published.', secondsAt(published.at))
    gauges.set('snapshot_crates', 'Crates in it.', published.crates)
  }
  const { checkedAt, isFresh, withinHours } = fresh
  const compared = checkedAt === null ? 0 : secondsAt(checkedAt)
  gauges.set('compared_timestamp_seconds', 'When it was last compared with its source.', compared)
  gauges.set('fresh', 'Whether that is as lately as wanted.', Number(isFresh))
  gauges.set('fresh_within_seconds', 'How lately is wanted.', withinHours * 3600)
  for (const [role, end] of Object.entries(expires ?? {})) {
    const help = 'When the metadata of a role ends.'
    gauges.set('metadata_expires_timestamp_seconds', help, secondsAt(end), { role })
  }
  if (site !== null) {
    const help = 'When what the site signed ends.'
    gauges.set('site_expires_timestamp_seconds', help, secondsAt(site.until))
  }
}

function listsOf({ held, absent, kept, withdrawn, pending, selection }: Status, gauges: Gauges) {
  gauges.set('crates_held', 'Crates that wait for what they lack.', held.total)
  gauges.set('versions_absent', 'Versions that the origin does not have.', absent.total)
  gauges.set('crates_kept', 'Crates gone upstream and kept here.', kept.total)
  gauges.set('versions_withdrawn', 'Versions in quarantine.', withdrawn.total)
  const missing = pending?.missing ?? 0
  gauges.set('pending_files', 'Files that an import waits for.', missing)
  if (selection?.versions == null || selection.here === null) return
  gauges.set('versions_selected', 'Versions that the selection names.', selection.versions)
  gauges.set('versions_selected_here', 'Those of them that are here.', selection.here)
}

function scrubOf({ scrub }: Status, gauges: Gauges): void {
  if (scrub === null) return
  const { round, before } = scrub
  const { faults, left } = wrongFiles(scrub)
  gauges.set('scrub_crates', 'Crates read back in this round.', round.crates)
  gauges.set('scrub_faults', 'Files found wrong in this round and the one before.', faults)
  gauges.set('scrub_left', 'Those of them that could not be mended.', left)
  const ended = before?.ended == null ? 0 : secondsAt(before.ended)
  gauges.set('scrub_ended_timestamp_seconds', 'When all was read back; 0: never yet.', ended)
}

function newestOfEach(runs: readonly RunShown[]): readonly RunShown[] {
  return runs.filter((run, at) => runs.findIndex(({ command }) => command === run.command) === at)
}

function runOf({ at, command, exit, seconds, received }: RunShown, gauges: Gauges): void {
  gauges.set('run_timestamp_seconds', 'When the last run began.', secondsAt(at), { command })
  gauges.set('run_exit', 'Its exit code.', exit, { command })
  gauges.set('run_seconds', 'How long it took.', seconds, { command })
  if (received === null) return
  gauges.set('run_received_bytes', 'Bytes that it got from upstream.', received, { command })
}

function daemonOf({ daemon }: Status, gauges: Gauges): void {
  if (daemon === null) return
  const { isPaused, running, nextSync, failures, isConfigBroken } = daemon
  gauges.set('daemon_paused', 'Whether it was told to pause.', Number(isPaused))
  gauges.set('daemon_running', 'Whether a job is running.', Number(running !== undefined))
  gauges.set('daemon_failures', 'Syncs in a row that failed for a passing reason.', failures)
  const help = 'Whether the configuration file is broken and the one before it in force.'
  gauges.set('daemon_config_broken', help, Number(isConfigBroken))
  if (nextSync === undefined) return
  gauges.set('daemon_next_sync_timestamp_seconds', 'When a sync is due.', secondsAt(nextSync))
}

/** Gauges that are made when they are first set. */
class Gauges {
  readonly registry = new Registry()
  readonly #gauges = new Map<string, Gauge>()

  set(name: string, help: string, value: number, labels: Readonly<Record<string, string>> = {}) {
    const gauge = this.#gauges.getOrInsertComputed(name, () => {
      const labelNames = Object.keys(labels)
      return new Gauge({
        name: `crateferry_${name}`,
        help,
        labelNames,
        registers: [this.registry],
      })
    })
    gauge.set(labels, value)
  }
}

const secondsAt = (at: string): number => Date.parse(at) / 1000
