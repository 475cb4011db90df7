import { MirrorError } from '../error.ts'

/** As many bytes came as were to come: nothing failed, and trying again at once is of no use. */
export class LimitReached extends MirrorError {
  constructor(message: string) {
    super('incomplete', message)
  }
}
