import { MirrorError, quoted } from '../error.ts'

/** What strict JSON parses to. Members are read by `member` alone: names come from outside. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [name: string]: Json
}

/** The bytes are not the form that TUF 4 prescribes. */
export class FormRefused extends MirrorError {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super('refused', message, options)
  }
}

/** An own member, so that `constructor` and `__proto__` are ordinary names; undefined without it. */
export function member(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `where` names the file and the place in it, for the message. */
export function asObject(value: Json | undefined, where: string): JsonObject {
  if (isObject(value)) return value
  throw new FormRefused(`${where}: expected an object, found ${shown(value)}`)
}

export function asArray(value: Json | undefined, where: string): readonly Json[] {
  if (Array.isArray(value)) return value as readonly Json[]
  throw new FormRefused(`${where}: expected an array, found ${shown(value)}`)
}

export function asString(value: Json | undefined, where: string): string {
  if (typeof value === 'string') return value
  throw new FormRefused(`${where}: expected a string, found ${shown(value)}`)
}

export function asInteger(value: Json | undefined, where: string, least: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value
  throw new FormRefused(`${where}: expected an integer from ${least}, found ${shown(value)}`)
}

function shown(value: Json | undefined): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return 'an array'
  return isObject(value) ? 'an object' : String(value)
}
