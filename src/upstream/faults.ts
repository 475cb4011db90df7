import { MirrorError } from '../error.ts'

/** The upstream answered that it has no such thing. A fact, not a failure: asking again is for later. */
export class NotThere extends MirrorError {
  readonly status: number

  constructor(place: string, status: number) {
    super('incomplete', `${place}: not there (status ${status})`)
    this.status = status
  }
}

/**
 * The host as a whole is done for this run: unreachable, silent, or asking for more patience than
 * we have. No verdict on any one crate.
 */
export class HostGone extends MirrorError {
  constructor(message: string, cause?: unknown) {
    super('incomplete', message, { cause })
  }
}

/** The bytes did not come, or not all of them: not connected, cut, stalled, too slow, unframed. */
export class TransferCut extends MirrorError {
  constructor(message: string, cause?: unknown) {
    super('incomplete', message, { cause, transient: true })
  }
}

/** The host cannot answer this now: 5xx, 408, 425, 429. */
export class Unavailable extends MirrorError {
  constructor(message: string, options: { readonly transient: boolean } = { transient: true }) {
    super('incomplete', message, options)
  }
}

/**
 * An answer of a form that we do not take. Of metadata a wrong size or coding is refused for good
 * (`refused`); of everything else a form is never more than "not here yet".
 */
export class WrongForm extends MirrorError {}

/** What came is not HTTP: asked for once more, since a cut may look like it, and then believed. */
export class Garbled extends WrongForm {}

/**
 * What came is no feed of the kind that was asked for: a page of a proxy, a cut file, a trap.
 */
export class FeedRefused extends MirrorError {
  constructor(name: string, fault: string, cause?: unknown) {
    super('incomplete', `${name}: ${fault}`, { cause, transient: true })
  }
}

/**
 * A database dump cannot be read. Not worth asking again at once, since most of it would be read
 * again: there is a new one every day.
 */
export class DumpRefused extends MirrorError {
  constructor(name: string, fault: string, cause?: unknown) {
    super('incomplete', `${name}: ${fault}`, { cause })
  }
}
