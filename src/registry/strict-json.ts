import { MirrorError } from '../error.ts'

/** What may stand in a document; both are the caller's to say, so that nobody forgets them. */
export interface JsonLimits {
  /** Objects and arrays open at one time; the outermost counts as one. */
  readonly depthMax: number
  /** Only `0` and `-?[1-9][0-9]*` within ±(2^53−1): what canonical JSON can hold. */
  readonly integersOnly: boolean
}

/** Where a value's bytes stand: from `start` up to, and without, `end`. */
interface Span {
  readonly start: number
  readonly end: number
}

/** A value of the outermost object. */
interface MemberSpan extends Span {
  /**
   * No white space in it, keys plain ASCII and ascending, nothing escaped but `"` and `\\`: with
   * integers alone its bytes are its canonical form. False says nothing.
   */
  readonly isCanonical: boolean
}

export interface JsonShape {
  readonly kind: 'object' | 'array' | 'scalar'
  /** The values of the outermost object by their decoded keys; empty for the other kinds. */
  readonly members: ReadonlyMap<string, MemberSpan>
}

export class JsonRefused extends MirrorError {
  /** Counted in bytes, from 0. */
  readonly offset: number

  constructor(reason: string, offset: number) {
    super('refused', `${reason} at byte ${offset}`)
    this.offset = offset
  }
}

/**
 * One lexical pass over JSON from outside, before `JSON.parse` sees it. Whatever has two readings
 * is refused, because V8 takes one of them in silence: the last of two equal keys, U+FFFD for bytes
 * that are no UTF-8. White space and the order of keys are free. Depth costs no stack.
 * @throws {JsonRefused} at the first byte that strict JSON does not allow.
 */
export function scanJson(bytes: Uint8Array, limits: JsonLimits): JsonShape {
  return new Scan(bytes, limits).document()
}

const END = -1
const [QUOTE, COMMA, MINUS, PLUS, POINT, ZERO, COLON, BACKSLASH] = codes('",-+.0:\\')
const [ARRAY, ARRAY_END, OBJECT, OBJECT_END, LOWER_E, UPPER_E, LOWER_U] = codes('[]{}eEu')
const ESCAPES: ReadonlySet<number> = new Set(codes('"\\/bfnrt'))
const LITERALS = new Map(['true', 'false', 'null'].map(word => [word.charCodeAt(0), word]))

/** While keys ascend none can come twice: only where one does not they are put into a set. */
interface OpenObject {
  last: string | undefined
  readonly keys: string[]
  seen: Set<string> | undefined
}

/** Notes the key. */
function isTwice(open: OpenObject, key: string): boolean {
  if (open.seen === undefined && (open.last === undefined || open.last < key)) {
    open.last = key
    open.keys.push(key)
    return false
  }
  open.seen ??= new Set(open.keys)
  if (open.seen.has(key)) return true
  open.seen.add(key)
  return false
}

class Scan {
  readonly #bytes: Buffer
  readonly #limits: JsonLimits
  /** What is open, outermost first: of an object the keys it has had, of an array nothing. */
  readonly #open: (OpenObject | undefined)[] = []
  readonly #members = new Map<string, MemberSpan>()
  /** The outermost object's member whose value is being read. */
  #member: { readonly key: string; readonly start: number } | undefined
  /** Of the outermost object's member that is being read, as far as it was read. */
  #isCanonical = false
  #at = 0

  constructor(bytes: Uint8Array, limits: JsonLimits) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#limits = limits
  }

  document(): JsonShape {
    const [a, b, c] = this.#bytes
    if (a === 0xef && b === 0xbb && c === 0xbf) throw this.#refused('a byte order mark')
    const first = this.#skipSpace()
    if (first === END) throw this.#refused('no JSON but an empty body')
    let more = true
    while (more) more = this.#value()
    if (this.#skipSpace() !== END) throw this.#refused('bytes after the document')
    const kind = first === OBJECT ? 'object' : first === ARRAY ? 'array' : 'scalar'
    return { kind, members: this.#members }
  }

  /** Reads a scalar, or opens a container; false when the document is whole. */
  #value(): boolean {
    const byte = this.#peek()
    if (byte === OBJECT || byte === ARRAY) return this.#enter(byte === OBJECT)
    if (byte === QUOTE) this.#string()
    else if (byte === MINUS || isDigit(byte)) this.#number()
    else this.#literal()
    return this.#next()
  }

  #enter(isObject: boolean): boolean {
    if (this.#open.length >= this.#limits.depthMax) {
      throw this.#refused(`nested deeper than ${this.#limits.depthMax}`)
    }
    this.#open.push(isObject ? { last: undefined, keys: [], seen: undefined } : undefined)
    this.#at += 1
    if (this.#skipSpace() === (isObject ? OBJECT_END : ARRAY_END)) return this.#next()
    if (isObject) this.#key()
    return true
  }

  /** After a value: closes what ends here, then stands before the next value, if there is one. */
  #next(): boolean {
    while (this.#open.length > 0) {
      if (this.#open.length === 1) this.#endMember()
      const isObject = this.#open.at(-1) !== undefined
      const byte = this.#skipSpace()
      if (byte === COMMA) {
        this.#at += 1
        this.#skipSpace()
        if (isObject) this.#key()
        return true
      }
      if (byte !== (isObject ? OBJECT_END : ARRAY_END)) throw this.#unexpected()
      this.#open.pop()
      this.#at += 1
    }
    return false
  }

  /** Reads `"key":` and stands before its value. */
  #key(): void {
    const start = this.#at
    if (this.#peek() !== QUOTE) throw this.#unexpected()
    const isPlain = this.#string()
    const key = isPlain
      ? this.#bytes.toString('latin1', start + 1, this.#at - 1)
      : (JSON.parse(this.#bytes.toString('utf8', start, this.#at)) as string)
    const open = this.#open.at(-1)
    if (open !== undefined && isTwice(open, key)) throw this.#refused('a key given twice', start)
    if (!isPlain || open?.seen !== undefined) this.#isCanonical = false
    if (this.#skipSpace() !== COLON) throw this.#unexpected()
    this.#at += 1
    this.#skipSpace()
    if (this.#open.length > 1) return
    this.#member = { key, start: this.#at }
    this.#isCanonical = true
  }

  #endMember(): void {
    if (this.#member === undefined) return
    const { key, start } = this.#member
    this.#members.set(key, { start, end: this.#at, isCanonical: this.#isCanonical })
    this.#member = undefined
  }

  /** Whether it was plain ASCII without escapes, so that its bytes are its text. */
  #string(): boolean {
    let isPlain = true
    this.#at += 1
    for (;;) {
      const byte = this.#skipPlain()
      if (byte === QUOTE) break
      isPlain = false
      if (byte === BACKSLASH) this.#escape()
      else if (byte >= 0x80) this.#multibyte()
      else throw this.#unexpected()
    }
    this.#at += 1
    return isPlain
  }

  /** The hot loop: letters that stand for themselves. */
  #skipPlain(): number {
    const bytes = this.#bytes
    let at = this.#at
    let byte = bytes[at] ?? END
    while (byte >= 0x20 && byte < 0x80 && byte !== QUOTE && byte !== BACKSLASH) {
      at += 1
      byte = bytes[at] ?? END
    }
    this.#at = at
    return byte
  }

  #escape(): void {
    const start = this.#at
    const letter = this.#bytes[start + 1] ?? END
    if (letter !== QUOTE && letter !== BACKSLASH) this.#isCanonical = false
    if (letter !== LOWER_U) {
      this.#at += 1
      if (!ESCAPES.has(letter)) throw this.#unexpected()
      this.#at += 1
      return
    }
    const unit = this.#codeUnit()
    if (unit < 0xd800 || unit > 0xdfff) return
    const isPair = unit < 0xdc00 && this.#bytes.toString('latin1', this.#at, this.#at + 2) === '\\u'
    const low = isPair ? this.#codeUnit() : 0
    if (low < 0xdc00 || low > 0xdfff) throw this.#refused('half of a surrogate pair', start)
  }

  /** The four digits of `\uXXXX`. */
  #codeUnit(): number {
    const digits = this.#bytes.toString('latin1', this.#at + 2, this.#at + 6)
    if (!/^[0-9A-Fa-f]{4}$/.test(digits)) throw this.#refused('a broken escape')
    this.#at += 6
    return Number.parseInt(digits, 16)
  }

  /** One character of UTF-8 by the table of RFC 3629: no overlong form, no surrogate, at most U+10FFFF. */
  #multibyte(): void {
    const lead = this.#bytes[this.#at] ?? END
    const second = this.#bytes[this.#at + 1] ?? END
    const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
    const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
    const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
    const isWhole =
      length > 0 &&
      second >= low &&
      second <= high &&
      (length < 3 || this.#isContinuation(this.#at + 2)) &&
      (length < 4 || this.#isContinuation(this.#at + 3))
    if (!isWhole) throw this.#refused('invalid UTF-8')
    this.#at += length
  }

  #isContinuation(at: number): boolean {
    return ((this.#bytes[at] ?? 0) & 0xc0) === 0x80
  }

  #number(): void {
    const start = this.#at
    if (this.#peek() === MINUS) this.#at += 1
    if (this.#peek() === ZERO) this.#at += 1
    else this.#digits()
    if (this.#limits.integersOnly) this.#integer(start)
    else this.#fraction()
  }

  #integer(start: number): void {
    const next = this.#peek()
    const text = this.#bytes.toString('latin1', start, Math.min(this.#at, start + 18))
    const isInteger = next !== POINT && next !== LOWER_E && next !== UPPER_E && text !== '-0'
    if (!isInteger || !Number.isSafeInteger(Number(text))) {
      throw this.#refused('a number that is no integer within ±(2^53−1)', start)
    }
  }

  #fraction(): void {
    if (this.#peek() === POINT) {
      this.#at += 1
      this.#digits()
    }
    if (this.#peek() !== LOWER_E && this.#peek() !== UPPER_E) return
    this.#at += 1
    if (this.#peek() === PLUS || this.#peek() === MINUS) this.#at += 1
    this.#digits()
  }

  /** One digit or more. */
  #digits(): void {
    if (!isDigit(this.#peek())) throw this.#unexpected()
    while (isDigit(this.#peek())) this.#at += 1
  }

  #literal(): void {
    const word = LITERALS.get(this.#peek()) ?? ''
    const end = this.#at + word.length
    if (word === '' || this.#bytes.toString('latin1', this.#at, end) !== word)
      throw this.#unexpected()
    this.#at = end
  }

  #skipSpace(): number {
    let byte = this.#peek()
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      this.#isCanonical = false
      this.#at += 1
      byte = this.#peek()
    }
    return byte
  }

  #peek(): number {
    return this.#bytes[this.#at] ?? END
  }

  #unexpected(): JsonRefused {
    const byte = this.#peek()
    if (byte === END) return this.#refused('cut off: no more JSON')
    const isVisible = byte > 0x20 && byte < 0x7f
    const name = isVisible
      ? `'${String.fromCharCode(byte)}'`
      : `byte 0x${byte.toString(16).padStart(2, '0')}`
    return this.#refused(`not JSON: unexpected ${name}`)
  }

  #refused(reason: string, offset: number = this.#at): JsonRefused {
    return new JsonRefused(reason, offset)
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function codes(text: string): number[] {
  return [...text].map(character => character.charCodeAt(0))
}
