import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import type { Status } from '../../src/serve/status.ts'
import { expectExit, Registry } from '../crateferry.ts'
import { Running } from '../daemon/running.ts'
import { hasPrometheus, Prometheus, promtool } from '../monitoring/prometheus.ts'
import { serveFolder } from '../upstream.ts'

const TIMES = { timeout: 120_000 }

/** A daemon over a mirror that has synced. */
const test = base
  .extend('registry', async ({}, { onCleanup }) => {
    const registry = await Registry.make()
    onCleanup(() => registry[Symbol.asyncDispose]())
    return registry
  })
  .extend('daemon', async ({ registry }, { onCleanup }): Promise<Running> => {
    await using upstream = await serveFolder(registry.public)
    const mirror = await registry.mirror('mirror', upstream.url)
    await expectExit(0, 'sync', '--mirror', mirror)
    const daemon = await Running.of(mirror)
    onCleanup(() => daemon[Symbol.asyncDispose]())
    return daemon
  })

async function metricsAt(url: string): Promise<{ text: string; values: Map<string, number> }> {
  const answer = await fetch(`${url}/metrics`)
  expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  const text = await answer.text()
  const lines = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  const pairs = lines.map(line => line.split(/ (?=\S+$)/) as [string, string])
  return { text, values: new Map(pairs.map(([name, value]) => [name, Number(value)])) }
}

test('what is counted is what /api/status tells, and what was asked', TIMES, async ({ daemon }) => {
  for (const path of ['index/fe/rr/ferry-hull', 'index/fe/rr/ferry-hull', 'index/no/ne/none']) {
    await (await fetch(`${daemon.url}/${path}`)).arrayBuffer()
  }
  await fetch(`${daemon.url}/`, { method: 'POST' })
  const status = (await (await fetch(`${daemon.url}/api/status`)).json()) as Status
  const { values } = await metricsAt(daemon.url)
  const value = (name: string): number | undefined => values.get(`crateferry_${name}`)
  const seconds = (at: string | null | undefined): number => Date.parse(at ?? '') / 1000

  expect(value('snapshot_number')).toBe(status.published?.n)
  expect(value('snapshot_crates')).toBe(status.published?.crates)
  expect(value('snapshot_timestamp_seconds')).toBe(seconds(status.published?.at))
  expect(value('compared_timestamp_seconds')).toBe(seconds(status.fresh.checkedAt))
  expect(value('fresh')).toBe(1)
  for (const [role, end] of Object.entries(status.expires ?? {})) {
    expect(value(`metadata_expires_timestamp_seconds{role="${role}"}`)).toBe(seconds(end))
  }
  expect(value('run_exit{command="sync"}')).toBe(0)
  expect(value('run_received_bytes{command="sync"}')).toBe(status.runs[0]?.received)
  expect(value('daemon_next_sync_timestamp_seconds')).toBe(seconds(status.daemon?.nextSync))
  expect(value('disk_size_bytes')).toBe(status.disk.sizeBytes)

  expect(value('http_requests_total{kind="index file",status="200"}')).toBe(2)
  expect(value('http_requests_total{kind="index file",status="404"}')).toBe(1)
  expect(value('http_requests_total{kind="refused",status="405"}')).toBe(1)
  const file = await readFile(join(daemon.mirror, 'public/index/fe/rr/ferry-hull'))
  expect(value('http_body_bytes_total{kind="index file"}')).toBe(2 * file.length)
  expect(value('http_connections')).toBeGreaterThan(0)
})

const NAME = /crateferry_\w+/g
/** A histogram is asked for under these. */
const PARTS = /_(?:bucket|count|sum)$/

test(
  'docs/monitoring.md has each name, and rules and panels ask for no other',
  TIMES,
  async ({ daemon }) => {
    const page = await readFile('docs/monitoring.md', 'utf8')
    const written = [...page.matchAll(/^\| `(crateferry_\w+)`/gm)].map(([, name]) => name)
    const { text } = await metricsAt(daemon.url)
    const served = [...text.matchAll(/^# HELP (crateferry_\w+)/gm)].map(([, name]) => name)
    expect(written).toEqual(expect.arrayContaining(served))
    const unserved = written.filter(name => !served.includes(name))
    const parts = ['site_expires_timestamp_seconds', 'versions_selected', 'versions_selected_here']
    expect(unserved).toEqual(parts.map(name => `crateferry_${name}`))
    for (const file of ['alerts.yml', 'grafana.json']) {
      const asked = (await readFile(`docs/monitoring/${file}`, 'utf8')).matchAll(NAME)
      for (const [name] of asked) expect(written, file).toContain(name.replace(PARTS, ''))
    }
  },
)

interface Dashboard {
  readonly panels: readonly {
    readonly title: string
    readonly targets: readonly { readonly expr: string }[]
  }[]
}

test(
  'a real Prometheus reads them, each panel has an answer, each rule tells what it is for',
  TIMES,
  async ({ daemon, registry, skip }) => {
    if (!(await hasPrometheus())) return skip('NO RULE IS TRIED: there is no Prometheus here')
    await promtool('check', 'rules', 'docs/monitoring/alerts.yml')
    await promtool('test', 'rules', 'test/monitoring/alerts.test.yml')
    await using prometheus = await Prometheus.over(daemon.url, registry.at('.'))
    const { panels } = JSON.parse(
      await readFile('docs/monitoring/grafana.json', 'utf8'),
    ) as Dashboard
    const { host } = new URL(daemon.url)
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        const asked = expr.replaceAll('$instance', host).replaceAll('$__rate_interval', '1m')
        expect(await prometheus.ask(asked), title).not.toEqual([])
      }
    }
  },
)
