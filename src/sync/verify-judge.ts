import type { Checksum } from '../registry/checksum.ts'
import { type Withdrawal, withdrawalText } from '../store/quarantine.ts'
import type { Files } from './verify-files.ts'
import { type Fault, fault } from './verify-finding.ts'

/** Compares what lies under a name with the checksum that it must have. */
export class Judge {
  /** Well-formed files that nothing names. */
  unreferenced = 0
  readonly #files: Files
  readonly #withdrawn: ReadonlyMap<Checksum, Withdrawal>

  constructor(files: Files, withdrawn: ReadonlyMap<Checksum, Withdrawal>) {
    this.#files = files
    this.#withdrawn = withdrawn
  }

  async *named(
    file: string,
    checksum: Checksum,
    facts: Pick<Fault, 'crate' | 'version' | 'named'>,
  ): AsyncGenerator<Fault> {
    const look = await this.#files.look(file)
    if (look.kind === 'none') yield fault('missing', file, 'missing', facts)
    else if (look.kind === 'odd')
      yield fault('damaged', file, `${look.found}, expected a file`, facts)
    else if (look.checksum !== checksum) {
      const found = `expected sha256 ${checksum}, found ${look.checksum} (${look.length} bytes)`
      yield fault('damaged', file, found, facts)
    }
  }

  /** A well-formed name that nothing uses is no fault, but it must be true all the same (P1). */
  async *nobodys(file: string, checksum: Checksum): AsyncGenerator<Fault> {
    if (this.#withdrawn.has(checksum)) return yield* this.withdrawn(file, checksum)
    this.unreferenced += 1
    yield* this.unexpected(file, checksum)
  }

  /** Its record is there, so nobody is given it; the next writer moves it away. */
  async *withdrawn(file: string, checksum: Checksum): AsyncGenerator<Fault> {
    const look = await this.#files.look(file)
    const withdrawal = this.#withdrawn.get(checksum)
    if (look.kind === 'none' || withdrawal === undefined) return
    const what = `withdrawn, and still here: ${withdrawalText(withdrawal)}`
    yield fault('unexpected', file, what, { named: { kind: 'withdrawn', checksum } })
  }

  /** One that went since its folder was read was pruned. */
  async *unexpected(file: string, checksum: Checksum): AsyncGenerator<Fault> {
    for await (const found of this.named(file, checksum, {})) {
      if (found.kind !== 'missing') yield { ...found, kind: 'unexpected' }
    }
  }
}
