import { MirrorError } from '../error.ts'
import { canonicalJson } from './canonical.ts'
import { type Instant, parseInstant, secondsAfter } from './instant.ts'

/** What we note beside a chain's own files, so that a crash between two of them changes nothing. */
export interface Book {
  /** When a cycle last accepted unexpired metadata, by the system clock. */
  readonly clock: Instant | undefined
  /** The version of the root under which the stored timestamp was accepted. */
  readonly acceptedUnder: number | undefined
  /** Versions of timestamp and snapshot that a rotated root voided, for whoever audits. */
  readonly dropped: readonly { readonly root: number; readonly timestamp: number }[]
  /** When an operator last forgot what was accepted, and why. */
  readonly reset?: { readonly at: string; readonly reason: string }
}

const EMPTY_BOOK: Book = { clock: undefined, acceptedUnder: undefined, dropped: [] }

export function bookBytes({ clock, acceptedUnder, dropped, reset }: Book): Uint8Array {
  return canonicalJson({
    format: 1,
    ...(clock !== undefined && { clock }),
    ...(acceptedUnder !== undefined && { acceptedUnder }),
    dropped: dropped.map(({ root, timestamp }) => ({ root, timestamp })),
    ...(reset !== undefined && { reset: { at: reset.at, reason: reset.reason } }),
  })
}

/** Written by rename, so one that does not parse is damage, and floors must not be lost in silence. */
export function readBook(bytes: Uint8Array | undefined): Book {
  if (bytes === undefined) return EMPTY_BOOK
  try {
    const book = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>
    const { acceptedUnder, reset } = book
    return {
      clock: parseInstant(book['clock']),
      acceptedUnder: typeof acceptedUnder === 'number' ? acceptedUnder : undefined,
      dropped: Array.isArray(book['dropped']) ? (book['dropped'] as Book['dropped']) : [],
      ...(typeof reset === 'object' &&
        reset !== null && { reset: reset as NonNullable<Book['reset']> }),
    }
  } catch (error) {
    throw new MirrorError('damaged', 'book.json beside the chain is not the JSON we wrote', {
      cause: error,
    })
  }
}

const SLACK_SECONDS = 3600

/** A clock that ran back would bring expired metadata to life again (P13). */
export function requireClock({ clock }: Book, start: Instant): void {
  if (clock === undefined || start >= secondsAfter(clock, -SLACK_SECONDS)) return
  throw new MirrorError(
    'clock',
    `the clock says ${start}, but metadata was accepted at ${clock}; set the clock, or run sync --accept-clock --reason TEXT`,
  )
}

const NOTED_EVERY_SECONDS = 600

/** The floor only rises, and not at every run: one that changes nothing writes nothing. */
export function isClockDue({ clock }: Book, start: Instant): boolean {
  return clock === undefined || start >= secondsAfter(clock, NOTED_EVERY_SECONDS)
}
