import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Cycle } from '../../../src/trust/cycle.ts'
import { ONLINE } from '../../../src/trust/freshness.ts'

interface Whole {
  readonly found: number
  readonly cpuSeconds: number
  readonly peakMb: number
}

/** In a process of its own, so that its memory is that of the reader alone. */
export async function readWhole(folder: string): Promise<Whole> {
  const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, folder])
  return JSON.parse(stdout) as Whole
}

async function read(folder: string): Promise<Whole> {
  const bytesOf = (file: string): Uint8Array | undefined => {
    const place = join(folder, file)
    return existsSync(place) ? readFileSync(place) : undefined
  }
  const root = bytesOf('1.root.json') ?? new Uint8Array()
  const io = {
    fetch: async (file: string) => bytesOf(file),
    keep: async () => {},
    drop: async () => {},
    accuse: async () => {},
  }
  const before = process.cpuUsage()
  const how = { now: new Date(), acceptClock: false, freshness: ONLINE }
  const cycle = new Cycle({ root, roots: [root] }, io, how)
  await cycle.refresh()
  const found = await cycle.enumerate(() => true)
  const { user, system } = process.cpuUsage(before)
  return {
    found: found.size,
    cpuSeconds: (user + system) / 1e6,
    peakMb: process.resourceUsage().maxRSS / 1024,
  }
}

const [, script, folder] = process.argv
if (script === import.meta.filename && folder !== undefined) {
  console.log(JSON.stringify(await read(folder)))
}
