import { existsSync, statSync } from 'node:fs'
import { quoted } from '../error.ts'
import { prefixOfCrateFile } from '../registry/crate-file.ts'
import { breathe, copyFile, moveFile, writeFileAt } from '../store/durable.ts'
import { finishLanding } from '../store/landing.ts'
import { artifactFile, partialFile } from '../store/layout.ts'
import {
  type CrateBytes,
  crateFiles,
  type LeftOut,
  readCrateFile,
} from '../upstream/crate-files.ts'
import { guardSpace } from './guards.ts'
import type { Run } from './run.ts'

/** What came of a directory. */
export interface AdoptReport {
  /** Files that were read: each was copied, or its bytes were here already. */
  readonly found: number
  readonly adopted: number
  readonly bytes: number
  readonly alreadyHere: number
  /** Links, pipes, empty files and the like: no crates by rule. */
  readonly leftOut: number
  /** What may hold crates and could not be read. */
  readonly unread: number
  readonly warnings: readonly string[]
}

/**
 * Copies each crate below `folder` into the partial of its hash, as if a transfer had brought it.
 * So nothing here is believed: the next sync hashes it from byte 0, lands it if the index names
 * that hash, and removes what the snapshot it publishes does not want. A kill leaves whole partials
 * and at most one short one; the next run copies that again and leaves the others alone by their
 * length, since a sync that finds one wrong fetches it. Nothing is flushed, for the same reason.
 */
export async function adopt(run: Run, folder: string): Promise<AdoptReport> {
  // what lies under its name is not copied: names in doubt are settled before they count
  await finishLanding(run.writer)
  guardSpace(run)
  run.progress.phase = 'adopt'
  const adoption = new Adoption(run)
  for await (const found of crateFiles(folder, run)) {
    run.signal.throwIfAborted()
    await breathe()
    if (found.kind === 'crate') await adoption.take(found.path)
    else adoption.leaveOut(found.path, found.why)
  }
  return adoption
}

const SPACE_CHECK_BYTES = 64 * 1024 * 1024
const WARNINGS_MAX = 1000

class Adoption implements AdoptReport {
  found = 0
  adopted = 0
  bytes = 0
  alreadyHere = 0
  leftOut = 0
  unread = 0
  readonly warnings: string[] = []
  readonly #run: Run
  #spaceCheckedAt = 0

  constructor(run: Run) {
    this.#run = run
  }

  async take(path: string): Promise<void> {
    const crate = await readCrateFile(path)
    if ('reason' in crate) return this.leaveOut(path, crate)
    const { progress } = this.#run
    progress.artifactsDone += 1
    progress.bytes += crate.length
    this.found += 1
    if (this.#isHere(path, crate)) {
      this.alreadyHere += 1
      return
    }
    this.#guardSpace(crate)
    this.#copy(path, crate)
    this.adopted += 1
    this.bytes += crate.length
  }

  leaveOut(path: string, { isFailure, reason }: LeftOut): void {
    if (isFailure) this.unread += 1
    else this.leftOut += 1
    if (this.warnings.length < WARNINGS_MAX) this.warnings.push(`${quoted(path)} ${reason}`)
  }

  /** Under its name, which proves it, or in a partial of that length. */
  #isHere(path: string, { checksum, length }: CrateBytes): boolean {
    const { writer } = this.#run
    const prefix = prefixOfCrateFile(path)
    if (prefix && existsSync(writer.at(artifactFile(prefix, checksum)))) return true
    const partial = writer.at(partialFile(checksum))
    return statSync(partial, { throwIfNoEntry: false })?.size === length
  }

  /** A long file is copied aside first, so that a partial of its length is a whole copy. */
  #copy(path: string, { checksum, bytes }: CrateBytes): void {
    const partial = this.#run.writer.at(partialFile(checksum))
    if (bytes !== undefined) {
      writeFileAt(partial, [bytes], 0)
      return
    }
    copyFile(path, `${partial}.copy`)
    moveFile(`${partial}.copy`, partial)
  }

  #guardSpace({ length }: CrateBytes): void {
    if (this.bytes + length - this.#spaceCheckedAt < SPACE_CHECK_BYTES) return
    this.#spaceCheckedAt = this.bytes + length
    guardSpace(this.#run)
  }
}
