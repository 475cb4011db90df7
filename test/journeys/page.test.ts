import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { test as base, expect } from 'vitest'
import type { Status } from '../../src/serve/status.ts'
import { startBrowser } from '../browser.ts'
import { artifactAt, checksumOf, expectExit, Registry } from '../crateferry.ts'
import { Running } from '../daemon/running.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const DECK = 'fe/rr/ferry_deck'
const TIMES = { timeout: 120_000 }

/** A daemon over a mirror of which something is held and something withdrawn; it has synced once. */
const test = base
  .extend('registry', async ({}, { onCleanup }) => {
    const registry = await Registry.make()
    onCleanup(() => registry[Symbol.asyncDispose]())
    return registry
  })
  .extend('upstream', async ({ registry }, { onCleanup }): Promise<LoopbackUpstream> => {
    const upstream = await serveFolder(registry.public)
    onCleanup(() => upstream[Symbol.asyncDispose]())
    return upstream
  })
  .extend('daemon', async ({ registry, upstream }, { onCleanup }): Promise<Running> => {
    const index = join(registry.public, 'index')
    const lost = await checksumOf(index, DECK, '0.3.0')
    await rm(join(registry.public, artifactAt(DECK, lost)))
    const mirror = await registry.mirror('mirror', upstream.url)
    await expectExit(3, 'sync', '--mirror', mirror)
    const why = ['--reason', '<b>court</b> & order']
    await expectExit(0, 'withdraw', 'ferry-hull@1.1.0', ...why, '--mirror', mirror)
    const daemon = await Running.of(mirror)
    onCleanup(() => daemon[Symbol.asyncDispose]())
    return daemon
  })
  .extend('browser', async ({ skip }, { onCleanup }): Promise<Browser> => {
    const browser =
      (await startBrowser()) ?? skip('NO PAGE IS LOOKED AT: there is no Chromium here')
    onCleanup(() => browser.close())
    return browser
  })

/** Opens the page; whatever the browser complains about, or asks of another host, is kept. */
async function open(
  browser: Browser,
  url: string,
  options: Parameters<Browser['newPage']>[0] = {},
): Promise<{ readonly page: Page; readonly complaints: readonly string[] }> {
  const page = await browser.newPage(options)
  const complaints: string[] = []
  page.on('console', message => complaints.push(message.text()))
  page.on('pageerror', error => complaints.push(error.message))
  page.on('request', request => {
    if (!request.url().startsWith(`${url}/`)) complaints.push(request.url())
  })
  await page.goto(`${url}/`, { waitUntil: 'networkidle' })
  return { page, complaints }
}

async function statusAt(url: string): Promise<Status> {
  return (await (await fetch(`${url}/api/status`)).json()) as Status
}

/** Each fact by the words that stand before it. */
async function factsOn(page: Page): Promise<Record<string, string>> {
  const names = await page.locator('dt').allInnerTexts()
  const values = await page.locator('dd').allInnerTexts()
  return Object.fromEntries(names.map((name, at) => [name, values[at] ?? '']))
}

test('each fact on the page is the one of /api/status', TIMES, async ({ daemon, browser }) => {
  const { page, complaints } = await open(browser, daemon.url)
  const status = await statusAt(daemon.url)
  const { published, trust, upstream, cargoConfig, expires } = status
  const facts = await factsOn(page)
  expect(facts).toMatchObject({
    Crates: String(published?.crates),
    Tree: published?.tree,
    Upstream: upstream,
    Trust: `verified from the pinned root ${trust.root}`,
  })
  expect(facts['Snapshot']).toMatch(
    new RegExp(`^${published?.n}, of ${published?.at.slice(0, 10)}`),
  )
  for (const [role, until] of Object.entries(expires ?? {})) {
    expect(facts['Valid until']).toContain(`${role} ${until.slice(0, 10)} ${until.slice(11, 16)}`)
  }
  expect(facts['Disk']).toMatch(/ free of /)
  expect(await page.locator('#cargo-config').textContent()).toBe(cargoConfig)
  expect(cargoConfig).toContain(`sparse+${daemon.url}/index/`)

  expect(status.held).toMatchObject({ total: 1, first: [{ crate: 'ferry_deck' }] })
  expect(await rowsOf(page, 'Held')).toEqual([
    expect.stringContaining(status.held.first[0]?.reason ?? '?'),
  ])
  expect(status.withdrawn).toMatchObject({ total: 1, first: [{ version: '1.1.0' }] })
  expect(await rowsOf(page, 'Quarantined')).toEqual([
    expect.stringContaining('<b>court</b> & order'),
  ])
  expect(await rowsOf(page, 'Last runs')).toHaveLength(status.runs.length)
  expect(status.runs.map(({ command }) => command)).toEqual(['withdraw', 'sync'])
  expect(JSON.stringify(status)).not.toContain(daemon.mirror)
  expect(complaints).toEqual([])
})

async function rowsOf(page: Page, title: string): Promise<string[]> {
  const section = page.getByRole('region', { name: title }).first()
  return await section.locator('tbody tr').allInnerTexts()
}

test(
  'it is whole without scripts, and draws its chart with them',
  TIMES,
  async ({ daemon, browser }) => {
    const bare = await open(browser, daemon.url, { javaScriptEnabled: false })
    expect(await bare.page.locator('canvas').count()).toBe(0)
    expect(await bare.page.locator('#copy').isVisible()).toBe(false)
    const words = await bare.page.locator('main').innerText()
    const full = await open(browser, daemon.url)
    expect(await full.page.locator('#chart canvas').isVisible()).toBe(true)
    for (const line of words.split('\n').filter(one => !one.includes(' min '))) {
      expect(await full.page.locator('main').innerText()).toContain(line)
    }
    expect(full.complaints).toEqual([])
  },
)

test(
  'it can be read on a phone, in the dark, with a keyboard and by a screen reader',
  TIMES,
  async ({ daemon, browser }) => {
    const viewport = { width: 360, height: 740 }
    const { page } = await open(browser, daemon.url, { viewport, colorScheme: 'dark' })
    const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
    expect(overflow).toBeLessThanOrEqual(0)
    const [ink, paper] = (await page.evaluate(
      '[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]',
    )) as [string, string]
    expect(lightness(ink) - lightness(paper)).toBeGreaterThan(150)

    expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1)
    expect(await page.getByRole('main').count()).toBe(1)
    expect(await page.locator('html').getAttribute('lang')).toBe('en')
    const seen: string[] = []
    for (let presses = 0; presses < 12; presses += 1) {
      await page.keyboard.press('Tab')
      seen.push(
        (await page.evaluate(
          'document.activeElement.id || document.activeElement.className',
        )) as string,
      )
    }
    expect(seen).toContain('cargo-config')
    expect(seen).toContain('wide')
    const unnamed = await page.locator('.wide th:not([scope])').count()
    expect(unnamed).toBe(0)
  },
)

function lightness(color: string): number {
  const [red = 0, green = 0, blue = 0] = (color.match(/\d+/g) ?? []).map(Number)
  return (red + green + blue) / 3
}

test('a browser is told to run nothing that is not from here', TIMES, async ({ daemon }) => {
  const answer = await fetch(`${daemon.url}/`)
  expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
  const policy = answer.headers.get('content-security-policy') ?? ''
  expect(policy).toContain("default-src 'none'")
  expect(policy).not.toContain('unsafe')
  expect(await answer.text()).toContain('&#60;b&#62;court&#60;/b&#62; &#38; order')
})
