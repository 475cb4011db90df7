/** What an export, an import or a check has done so far, for whoever shows it. */
export class Carrying {
  phase: 'plan' | 'write' | 'read back' | 'check' = 'plan'
  /** Of the phase: bytes done, and bytes in all; 0: nobody knows. */
  bytes = 0
  of = 0
  /** What is being worked at: a volume. */
  what = ''

  begin(phase: Carrying['phase'], of: number): void {
    this.phase = phase
    this.bytes = 0
    this.of = of
    this.what = ''
  }
}
