import { type CrateName, parseCrateName } from './crate-name.ts'

/** What one version asks of another crate, as its index line states it. */
export interface Dependency {
  /** The crate itself, whatever name it goes by in the code that uses it. */
  readonly crate: CrateName
  /** As written: `parseRequirement` may find that nobody can read it. */
  readonly requirement: string
  readonly kind: 'normal' | 'build' | 'dev'
  readonly isOptional: boolean
  /** The platform it is for, or undefined: all of them. */
  readonly target: string | undefined
}

/**
 * The dependencies of a line that `readIndexFile` took. Old lines leave fields out and some are odd:
 * what is no dependency of this registry is left out, as cargo could not resolve it here either.
 */
export function readDependencies(line: Uint8Array): Dependency[] {
  const fields = JSON.parse(Buffer.from(line).toString()) as Readonly<Record<string, unknown>>
  const listed = fields['deps']
  return Array.isArray(listed) ? listed.flatMap(one => readDependency(one) ?? []) : []
}

function readDependency(value: unknown): Dependency | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { name, package: renamed, req, kind, optional, target, registry } = value as Fields
  // crates.io names no registry: what does is another registry's crate
  if (typeof registry === 'string') return undefined
  const crate = parseCrateName(renamed ?? name)
  if (crate === undefined || typeof req !== 'string') return undefined
  return {
    crate,
    requirement: req,
    kind: kind === 'build' || kind === 'dev' ? kind : 'normal',
    isOptional: optional === true,
    target: typeof target === 'string' ? target : undefined,
  }
}

interface Fields {
  readonly name?: unknown
  readonly package?: unknown
  readonly req?: unknown
  readonly kind?: unknown
  readonly optional?: unknown
  readonly target?: unknown
  readonly registry?: unknown
}
