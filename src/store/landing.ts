import assert from 'node:assert'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { breathe, copyFile, discardFile, discardVoid, flush, moveFile } from './durable.ts'
import { LANDING, PUBLIC, partialFile, QUARANTINE } from './layout.ts'
import { hashFile, wholePartial } from './partial.ts'
import { withdrawnChecksums } from './quarantine.ts'
import { isObject, recordBytes } from './record.ts'
import type { Writer } from './writer.ts'

/** An immutable file on its way to its name. */
export interface LandingItem {
  /**
   * Below the mirror's root, as `layout.ts` gives it; it holds the checksum, in whose partial the
   * bytes lie, whole and verified.
   */
  readonly name: string
  readonly bytes: number
  /** Called when the names are durable. */
  readonly landed?: () => void | Promise<void>
}

/**
 * Withdrawn by policy: what lies in `state/quarantine` gets no name again.
 * @public
 */
export class Withdrawn extends MirrorError {
  constructor(checksum: Checksum) {
    super('incomplete', `sha256 ${checksum} is in ${QUARANTINE} and does not land`)
  }
}

const FILES_MAX = 1000
const BYTES_MAX = 64 * 1024 * 1024
const DELAY_MS = 2000

/**
 * Gives files their names a thousand at a time, because two flushes of a file system cost little
 * more than those of one file. One batch lands in the background while the next one fills.
 *
 *   1 each: whole in its partial, verified, closed          not named yet
 *   2 the batch closes at 1,000 files, 64 MiB or 2 s
 *   3 `state/landing` lists the names, durable              written through the owner's folder
 *   4 flush                                                 now the bytes are on the disk
 *   5 rename each
 *   6 flush                                                 now the names are (and FAT's bytes)
 *   7 `state/landing` goes; whoever waits is told
 *
 * A crash before 3 leaves partials; after it a list of names that may not be durable: they are
 * hashed before anything believes them (`finishLanding`). So a public name means whole, verified
 * and durable (P1, P3), with no list of what is. There is no signal: a batch is short and not worth
 * leaving half done; who is told to stop adds no more and calls `settle`.
 */
export class Landing {
  readonly #writer: Writer
  readonly #filesMax: number
  readonly #bytesMax: number
  readonly #delayMs: number
  #filling: (LandingItem & Named)[] = []
  #fillingBytes = 0
  #isDue = false
  #timer: NodeJS.Timeout | undefined
  #withdrawn: ReadonlySet<Checksum> = new Set()
  /** The batch that lands; it never rejects. */
  #underWay: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(
    writer: Writer,
    {
      filesMax = FILES_MAX,
      bytesMax = BYTES_MAX,
      delayMs = DELAY_MS,
    }: { readonly filesMax?: number; readonly bytesMax?: number; readonly delayMs?: number } = {},
  ) {
    this.#writer = writer
    this.#filesMax = filesMax
    this.#bytesMax = bytesMax
    this.#delayMs = delayMs
  }

  /**
   * Resolves at once, unless one batch is landing and the next is full. Throws what a batch failed
   * with: after that nothing lands any more, and the partials wait for the next run.
   */
  async add(item: LandingItem): Promise<void> {
    this.#throwFailure()
    const checksum = checksumOf(item.name)
    this.#refuseWithdrawn(checksum)
    if (this.#filling.length === 0) this.#startFilling()
    this.#filling.push({ ...item, checksum })
    this.#fillingBytes += item.bytes
    while (this.#isFull()) {
      if (this.#underWay === undefined) this.#close()
      else await this.#underWay
      this.#throwFailure()
    }
  }

  /** The same for bytes that have no partial yet; `ChecksumMismatch` if they are not as named. */
  async addBytes(
    name: string,
    bytes: Uint8Array,
    landed?: () => void | Promise<void>,
  ): Promise<void> {
    this.#throwFailure()
    const checksum = checksumOf(name)
    wholePartial(this.#writer.at(partialFile(checksum)), bytes, checksum)
    await this.add({ name, bytes: bytes.length, ...(landed && { landed }) })
  }

  /** Lands what is left; when it resolves all that was added is durable under its names. */
  async settle(): Promise<void> {
    for (;;) {
      if (this.#underWay !== undefined) await this.#underWay
      this.#throwFailure()
      if (this.#filling.length === 0) return
      this.#close()
    }
  }

  #refuseWithdrawn(checksum: Checksum): void {
    if (this.#filling.length === 0) this.#withdrawn = withdrawnChecksums(this.#writer.mirror.root)
    if (this.#withdrawn.has(checksum)) throw new Withdrawn(checksum)
  }

  #startFilling(): void {
    this.#timer = setTimeout(() => {
      this.#isDue = true
      this.#closeIfDue()
    }, this.#delayMs).unref()
  }

  #isFull(): boolean {
    return this.#filling.length >= this.#filesMax || this.#fillingBytes >= this.#bytesMax
  }

  #closeIfDue(): void {
    if (this.#isDue && this.#underWay === undefined && this.#failure === undefined) this.#close()
  }

  /** The batch fills no more and lands, while the next one fills. */
  #close(): void {
    const batch = this.#filling
    clearTimeout(this.#timer)
    this.#isDue = false
    this.#filling = []
    this.#fillingBytes = 0
    this.#underWay = this.#land(batch)
  }

  async #land(batch: readonly (LandingItem & Named)[]): Promise<void> {
    try {
      await land(this.#writer, batch)
      for (const { landed } of batch) await landed?.()
    } catch (error) {
      this.#failure ??= { error }
    }
    this.#underWay = undefined
    this.#closeIfDue()
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/** Steps 3 to 7. A batch whose flush fails is void, its bytes are asked for again (P3). */
async function land(writer: Writer, batch: readonly Named[]): Promise<void> {
  const { root } = writer.mirror
  await writer.mirror.assertStillHere()
  // what an earlier batch left in doubt is settled before its list is replaced
  await finishLanding(writer)
  const finals = batch.map(({ name }) => name)
  const moves = movesOf(root, batch)
  await writer.replace(LANDING, recordBytes({ format: 1, finals }))
  for (const { partial, from } of moves) if (from !== partial) copyFile(partial, from)
  const partials = moves.map(move => move.from)
  await flushOrVoid(root, partials, [])
  const named = await nameAll(moves)
  await flushOrVoid(root, named, foldersAbove(root, named))
  await writer.remove(LANDING)
}

async function flushOrVoid(
  root: string,
  files: readonly string[],
  folders: readonly string[],
): Promise<void> {
  try {
    await flush(root, { files, folders })
  } catch (error) {
    discardVoid(files)
    throw error
  }
}

/** Returns the names that are new. A right file that has its name already keeps it. */
async function nameAll(moves: readonly Move[]): Promise<string[]> {
  const named: string[] = []
  for (const { from, final, checksum } of moves) {
    await breathe()
    if (existsSync(final) && (await isRight(final, checksum))) {
      await discardFile(from)
      continue
    }
    moveFile(from, final)
    named.push(final)
  }
  return named
}

/**
 * Settles what a crash left between steps 3 and 7: each listed name that exists is hashed, a wrong
 * one is removed, the others are made durable. Run by every writer before it believes a name; does
 * nothing where nothing was landing. Returns how many were wrong.
 */
export async function finishLanding(writer: Writer): Promise<number> {
  const { root } = writer.mirror
  const finals = readLanding(root)
  if (finals === undefined) return 0
  const moves = movesOf(
    root,
    finals.map(name => ({ name, checksum: checksumOf(name) })),
  )
  for (const { partial, from } of moves) if (from !== partial) await discardFile(from)
  const named = moves.filter(({ final }) => existsSync(final))
  const right: string[] = []
  for (const { name, final, checksum } of named) {
    if (await isRight(final, checksum)) right.push(final)
    else await writer.remove(name)
  }
  const folders = foldersAbove(
    root,
    named.map(({ final }) => final),
  )
  await flush(root, { files: right, folders })
  await writer.remove(LANDING)
  return named.length - right.length
}

/** The names that may be given and are not yet proved durable; undefined where nothing is landing. */
export function readLanding(root: string): readonly string[] | undefined {
  let text: string
  try {
    text = readFileSync(join(root, LANDING), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new MirrorError('io', `cannot read ${LANDING}`, { cause: error })
  }
  // no file gets its name before the list is durable: of a torn one nothing is named
  try {
    const list: unknown = JSON.parse(text)
    return isList(list) ? list.finals : []
  } catch {
    return []
  }
}

function isList(value: unknown): value is { readonly finals: readonly string[] } {
  return (
    isObject(value) &&
    value['format'] === 1 &&
    Array.isArray(value['finals']) &&
    value['finals'].every(name => typeof name === 'string' && NAME.test(name))
  )
}

interface Named {
  readonly name: string
  readonly checksum: Checksum
}

/** One file and the name it gets: `from` is its partial or, for a second name, a copy beside it. */
interface Move extends Named {
  readonly final: string
  readonly partial: string
  readonly from: string
}

/** Computed from the list alone, so that a later process finds the copies of a killed one. */
function movesOf(root: string, batch: readonly Named[]): Move[] {
  const counts = new Map<Checksum, number>()
  return batch.map(({ name, checksum }) => {
    const count = (counts.get(checksum) ?? 0) + 1
    counts.set(checksum, count)
    const partial = `${root}/${partialFile(checksum)}`
    const from = count === 1 ? partial : `${partial}.${count}`
    return { name, final: `${root}/${name}`, partial, from, checksum }
  })
}

/** What lands is public, immutable and named by its hash: `public/crates/se/rd/{sha256}.crate`. */
const NAME = /^public(?:\/[a-z0-9_-]+)+\/([0-9a-f]{64})\.[a-z0-9_-]+$/

function checksumOf(name: string): Checksum {
  const checksum = NAME.exec(name)?.[1]
  assert(checksum !== undefined, `${name} is no name of an immutable public file`)
  return checksum as Checksum
}

async function isRight(path: string, checksum: Checksum): Promise<boolean> {
  return (await hashFile(path))?.hash.digest('hex') === checksum
}

/** The folders whose entries changed if any of them was new. */
function foldersAbove(root: string, files: readonly string[]): string[] {
  const folders = new Set<string>()
  for (const file of files) {
    for (let folder = dirname(file); !folders.has(folder); folder = dirname(folder)) {
      folders.add(folder)
      if (folder === join(root, PUBLIC)) break
    }
  }
  return [...folders]
}
