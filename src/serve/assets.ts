import { readFileSync } from 'node:fs'
import { getRawAsset, isSea } from 'node:sea'
import { fileURLToPath } from 'node:url'
import { type Found, NEVER, whole } from './answer.ts'

/** What the page at `/` loads, all of it from here: type, and the file it is. */
const ASSETS: Readonly<Record<string, readonly [type: string, file: () => string]>> = {
  'page.css': ['text/css; charset=utf-8', () => here('page.css')],
  'page.js': ['text/javascript; charset=utf-8', () => here('page.js')],
  'icon.svg': ['image/svg+xml', () => here('icon.svg')],
  'uplot.css': ['text/css; charset=utf-8', () => import.meta.resolve('uplot/dist/uPlot.min.css')],
  'uplot.js': [
    'text/javascript; charset=utf-8',
    () => import.meta.resolve('uplot/dist/uPlot.iife.min.js'),
  ],
}

const here = (name: string): string => new URL(`assets/${name}`, import.meta.url).href

const read = new Map<string, Found>()

/** Undefined: there is none of that name. Of a single executable they are part. */
export function asset(name: string): Found | undefined {
  const [type, file] = Object.hasOwn(ASSETS, name) ? (ASSETS[name] ?? []) : []
  if (type === undefined || file === undefined) return undefined
  return read.getOrInsertComputed(name, () => {
    const bytes = isSea() ? Buffer.from(getRawAsset(name)) : readFileSync(fileURLToPath(file()))
    return whole(bytes, { type, cache: NEVER })
  })
}
