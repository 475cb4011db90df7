import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type CargoLock, parseCargoLock } from '../cargo-lock.ts'
import type { Config } from '../config.ts'
import { MirrorError, quoted } from '../error.ts'
import { parseCratePattern } from '../registry/crate-pattern.ts'
import { isEverything, type SelectionRules } from '../registry/selection-rules.ts'

/** The rules of `[select]` with what its lock files pin now; undefined: the whole registry. */
export function selectionRules(
  { allow, deny, newest, lockFiles, withDependencies, devDependencies }: Config['select'],
  root: string,
): SelectionRules | undefined {
  const locks = lockFiles.map(file => readCargoLock(root, file))
  const rules: SelectionRules = {
    allow: allow.flatMap(text => parseCratePattern(text) ?? []),
    deny: deny.flatMap(text => parseCratePattern(text) ?? []),
    newest,
    pins: locks.length === 0 ? undefined : locks.flatMap(({ packages }) => packages),
    pinnedElsewhere: locks.reduce((sum, { elsewhere }) => sum + elsewhere, 0),
    withDependencies,
    devDependencies,
  }
  return isEverything(rules) ? undefined : rules
}

function readCargoLock(root: string, file: string): CargoLock {
  const path = resolve(root, file)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    const message = `select.lock-files: cannot read ${quoted(path)}`
    throw new MirrorError('usage', message, { cause: error })
  }
  return parseCargoLock(bytes, path)
}
