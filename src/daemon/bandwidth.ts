import { isWithin, type WeekHours } from './week.ts'

/** A rate of a week's hours, or of all that no line before it has. */
export interface Bandwidth {
  readonly hours: WeekHours | undefined
  /** Undefined: without limit. */
  readonly bytesPerSecond: number | undefined
}

/** Bytes a second at this time: the first line whose hours it is counts; undefined: without limit. */
export function rateAt(timetable: readonly Bandwidth[], at: Date): number | undefined {
  const line = timetable.find(({ hours }) => hours === undefined || isWithin(hours, at))
  return line?.bytesPerSecond
}
