import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'chrome']

/** The Chromium of this machine, without a window; undefined where there is none. */
export async function startBrowser(): Promise<Browser | undefined> {
  const folders = (process.env['PATH'] ?? '').split(':')
  const files = folders.flatMap(folder => NAMES.map(name => join(folder, name)))
  const executablePath = files.find(file => existsSync(file))
  if (executablePath === undefined) return undefined
  // its own sandbox needs rights that a container does not give to root
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return await chromium.launch({ executablePath, args })
}
