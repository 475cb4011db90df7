import { quoted } from '../error.ts'
import { type Checksum, isChecksum } from './checksum.ts'
import { type CrateName, parseCrateName } from './crate-name.ts'
import { JsonRefused, scanJson } from './strict-json.ts'
import { parseVersion, type Version } from './version.ts'

/** One version of a crate as its index line states it; yanked or not, its artifact is wanted. */
export interface IndexLine {
  readonly crate: CrateName
  readonly version: Version
  readonly checksum: Checksum
  readonly yanked: boolean
}

/**
 * Why a line yields no version. `form`: it is not JSON, so the file may be no index file at all;
 * `odd`: an object, but nobody can use what it says; `newer`: of a format this program does not
 * know; `foreign`: it is another crate's.
 */
export class IndexLineRefused extends Error {
  readonly kind: 'form' | 'odd' | 'newer' | 'foreign'
  /** The version that the line names all the same, where that much can be read. */
  readonly version: Version | undefined

  constructor(kind: IndexLineRefused['kind'], message: string, version?: Version) {
    super(message)
    this.name = new.target.name
    this.kind = kind
    this.version = version
  }
}

const DEPTH_MAX = 32
/** cargo skips the lines of a format above this. */
const FORMAT_MAX = 2
/** cargo keeps `{name}-{version}.crate` as one file, and no file system takes a longer name. */
const FILE_NAME_MAX = 255

/** Reads a line without its newline; `lowerName` is the crate's name as the index path spells it. */
export function readIndexLine(line: Uint8Array, lowerName: CrateName): IndexLine {
  const fields = parseObject(line)
  const version = parseVersion(fields['vers'])
  const odd = (message: string): IndexLineRefused => new IndexLineRefused('odd', message, version)

  const crate = parseCrateName(fields['name'])
  if (crate === undefined) throw odd(`name ${shown(fields['name'])} is not a crate name`)
  if (crate.toLowerCase() !== lowerName) {
    throw new IndexLineRefused('foreign', `name "${crate}", expected "${lowerName}"`)
  }
  const format = fields['v'] ?? 1
  if (!isFormat(format)) throw odd(`v ${shown(format)} is not a format number`)
  if (format > FORMAT_MAX) {
    throw new IndexLineRefused('newer', `v ${format} is newer than ${FORMAT_MAX}`, version)
  }
  if (version === undefined) throw odd(`version ${shown(fields['vers'])} is not a version`)
  if (`${crate}-${version}.crate`.length > FILE_NAME_MAX) {
    throw odd(`the file name of version ${quoted(version)} is longer than ${FILE_NAME_MAX} bytes`)
  }
  const checksum = fields['cksum']
  if (!isChecksum(checksum)) {
    throw odd(`cksum ${shown(checksum)} is not 64 lower-case hex digits`)
  }
  const yanked = fields['yanked'] ?? false
  if (typeof yanked !== 'boolean') throw odd(`yanked ${shown(yanked)} is not a boolean`)
  return { crate, version, checksum, yanked }
}

/**
 * JSON.parse keeps the last of two equal keys and takes any depth, so it alone would let us and
 * cargo read different things. The depth is measured before the parse (a deep line costs memory);
 * a line that JSON.stringify gives back byte for byte cannot hold a key twice, and nearly all lines
 * of crates.io are of that kind: only the others pay for the strict scanner.
 */
function parseObject(line: Uint8Array): Readonly<Record<string, unknown>> {
  if (!startsObject(line)) throw notJson(line)
  if (depthOf(line) > DEPTH_MAX) {
    throw new IndexLineRefused('odd', `nested deeper than ${DEPTH_MAX}`)
  }
  const text = decoded(line)
  const fields = parsed(line, text)
  if (text.includes('\\') || JSON.stringify(fields) !== text) assertStrict(line, fields)
  return fields
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decoded(line: Uint8Array): string {
  try {
    return strictUtf8.decode(line)
  } catch {
    throw new IndexLineRefused('form', `not UTF-8 at its byte ${firstNonUtf8(line)}`)
  }
}

function parsed(line: Uint8Array, text: string): Record<string, unknown> {
  try {
    // it begins with a brace, so what comes out is an object
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    throw notJson(line)
  }
}

function assertStrict(line: Uint8Array, fields: Readonly<Record<string, unknown>>): void {
  try {
    scanJson(line, { depthMax: DEPTH_MAX, integersOnly: false })
  } catch (error) {
    if (!(error instanceof JsonRefused)) throw error
    throw new IndexLineRefused('odd', error.message, parseVersion(fields['vers']))
  }
}

function notJson(line: Uint8Array): IndexLineRefused {
  const form = (fault: string): IndexLineRefused => new IndexLineRefused('form', fault)
  if (line.length === 0) return form('empty')
  const nul = line.indexOf(0)
  if (nul >= 0) return form(`a NUL at its byte ${nul}`)
  if (line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf) return form('a byte order mark')
  const start = quoted(new TextDecoder().decode(line.subarray(0, 24)))
  if (startsObject(line)) return form(`not JSON (starts with ${start})`)
  return form(`not a JSON object (starts with ${start}); a proxy may be in between`)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d
const BRACKET_OPEN = 0x5b
const BRACKET_CLOSE = 0x5d

/** How deep arrays and objects are nested, strings left out. Says nothing of what is not JSON. */
function depthOf(line: Uint8Array): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let at = 0; at < line.length; at++) {
    const byte = line[at]
    if (byte === QUOTE) inString = !inString
    else if (inString) {
      if (byte === BACKSLASH) at++
    } else if (byte === BRACE_OPEN || byte === BRACKET_OPEN) {
      depth++
      if (depth > deepest) deepest = depth
    } else if (byte === BRACE_CLOSE || byte === BRACKET_CLOSE) depth--
  }
  return deepest
}

/** Whether the first thing after white space is a brace. */
export function startsObject(bytes: Uint8Array): boolean {
  let at = 0
  while (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === 0x0d) at++
  return bytes[at] === BRACE_OPEN
}

/** The longest start that decodes as a stream ends where the first wrong byte is. */
function firstNonUtf8(line: Uint8Array): number {
  let good = 0
  let bad = line.length
  while (good < bad) {
    const middle = (good + bad + 1) >>> 1
    if (isUtf8Start(line.subarray(0, middle))) good = middle
    else bad = middle - 1
  }
  return good
}

function isUtf8Start(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true })
    return true
  } catch {
    return false
  }
}

function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  return value === undefined ? 'missing' : quoted(JSON.stringify(value))
}

function isFormat(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0
}
