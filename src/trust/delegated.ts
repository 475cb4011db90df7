import { MirrorError, quoted } from '../error.ts'
import type { KeptChain } from './chain-io.ts'
import type { Delegation } from './delegations.ts'
import { openEnvelope } from './envelope.ts'
import type { Intake } from './intake.ts'
import { bytesMax, LIMITS } from './limits.ts'
import { fileOfRole } from './role-file.ts'
import type { MetaFile } from './snapshot.ts'
import { readTargets, type Targets } from './targets.ts'
import { type TrustedSet, unlessRefused } from './trusted.ts'

/**
 * The delegated roles of one cycle. The bytes of a role are had once; its authority is judged for
 * each delegator anew, by that one's keys and threshold.
 */
export class DelegatedRoles {
  readonly #trusted: TrustedSet
  readonly #intake: Intake
  readonly #kept: NonNullable<KeptChain['delegated']>
  readonly #loaded = new Map<string, Targets>()

  constructor(trusted: TrustedSet, intake: Intake, kept: KeptChain['delegated']) {
    this.#trusted = trusted
    this.#intake = intake
    this.#kept = kept ?? (() => undefined)
  }

  /** Verified for this delegator; kept before it is returned. */
  async load(delegation: Delegation): Promise<Targets> {
    const { name } = delegation
    const meta = this.#trusted.snapshot.files.get(`${name}.json`)
    if (meta === undefined) {
      throw new MirrorError(
        'signature',
        `${this.#trusted.snapshot.file}: role ${quoted(name)}, to which ${delegation.delegator} delegates, is not listed`,
      )
    }
    const file = `${fileOfRole(name, delegation.delegator)}.json`
    const loaded = this.#loaded.get(name)
    if (loaded !== undefined) {
      return this.#trusted.readDelegated(loaded.bytes, { file, meta }, delegation)
    }
    const targets = await this.#have(delegation, file, meta)
    this.#loaded.set(name, targets)
    return targets
  }

  async #have(delegation: Delegation, name: string, meta: MetaFile): Promise<Targets> {
    const numbered = `${meta.version}.${name}`
    const kept = this.#kept(numbered)
    const file = this.#trusted.root.consistentSnapshot ? numbered : name
    const again =
      kept &&
      unlessRefused(() =>
        this.#trusted.readDelegated(kept, { file: name, meta }, delegation, { isKept: true }),
      )
    if (again) {
      this.#intake.requireFresh('targets', again)
      return again
    }
    const stored = kept && readStored(kept, name)
    const limit = bytesMax(file, meta.length, LIMITS.targets)
    const targets = await this.#intake.demand(file, limit, bytes =>
      this.#trusted.readDelegated(bytes, { file, meta }, delegation),
    )
    if (stored !== undefined) await this.#intake.requireOneContent(targets, stored)
    this.#intake.requireFresh('targets', targets)
    await this.#intake.io.keep(`delegated/${numbered}`, targets.bytes)
    return targets
  }
}

/** A kept role is a cache: one that is damaged is had again. */
function readStored(bytes: Uint8Array, file: string): Targets | undefined {
  return unlessRefused(() => readTargets(openEnvelope(bytes, file)))
}
