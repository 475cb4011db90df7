import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseCargoLock } from '../cargo-lock.ts'
import type { Config } from '../config.ts'
import { MirrorError, quoted } from '../error.ts'
import { parseCratePattern } from '../registry/crate-pattern.ts'
import { isEverything, type Pin, type SelectionRules } from '../registry/selection-rules.ts'

/** The rules of `[select]` with what its lock files pin now; undefined: the whole registry. */
export function selectionRules(
  { allow, deny, newest, lockFiles, withDependencies, devDependencies }: Config['select'],
  root: string,
): SelectionRules | undefined {
  const rules: SelectionRules = {
    allow: allow.flatMap(text => parseCratePattern(text) ?? []),
    deny: deny.flatMap(text => parseCratePattern(text) ?? []),
    newest,
    pins: lockFiles.length === 0 ? undefined : lockFiles.flatMap(file => pinsIn(root, file)),
    withDependencies,
    devDependencies,
  }
  return isEverything(rules) ? undefined : rules
}

function pinsIn(root: string, file: string): readonly Pin[] {
  const path = resolve(root, file)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    const message = `select.lock-files: cannot read ${quoted(path)}`
    throw new MirrorError('usage', message, { cause: error })
  }
  return parseCargoLock(bytes, path).packages
}
