import { asInteger, asString, FormRefused, type JsonObject, member } from './json.ts'
import { LIMITS } from './limits.ts'

/** Roles that share keys and divide the paths by their hash (TAP 15). */
export interface Bins {
  readonly bitLength: number
  readonly prefix: string
}

export function readBins(object: JsonObject, where: string): Bins {
  const bitLength = asInteger(member(object, 'bit_length'), `${where}: bit_length`, 1)
  if (bitLength > LIMITS.binBits) {
    throw new FormRefused(`${where}: bit_length ${bitLength}, at most ${LIMITS.binBits} allowed`)
  }
  return { bitLength, prefix: asString(member(object, 'name_prefix'), `${where}: name_prefix`) }
}

/** The role of the paths whose SHA-256, in hex, begins like `pathHash`: its first bits count the bin. */
export function binOf({ bitLength, prefix }: Bins, pathHash: string): string {
  const bits = Number.parseInt(pathHash.slice(0, 8), 16)
  return binName({ bitLength, prefix }, Math.floor(bits / 2 ** (32 - bitLength)))
}

export function* allBins(bins: Bins): Iterable<string> {
  for (let n = 0; n < 2 ** bins.bitLength; n += 1) yield binName(bins, n)
}

/** `PREFIX-3ff`, as wide as the last bin's. */
function binName({ bitLength, prefix }: Bins, n: number): string {
  return `${prefix}-${n.toString(16).padStart(Math.ceil(bitLength / 4), '0')}`
}
