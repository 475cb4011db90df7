import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crateferryIn, type Ended } from '../crateferry.ts'

/** What happens to a medium while the program works on it. */
export interface Moment {
  /** The system call that it happens at, as Node names it. */
  readonly at: 'openSync' | 'readSync'
  /** How the path of the file begins or ends that is opened or read. */
  readonly file: RegExp
  /** From which such call on, from 1. */
  readonly from?: number
  /**
   * JavaScript, run with `fs`, `execFileSync`, `path`, `count` (of such calls, from 1) and, at a read,
   * `into`, `position` and `length`, which was read. An error that it throws is the call's own.
   */
  readonly does: string
}

/** Runs the program on real files, with a device or a hand that interferes at one of its calls. */
export async function crateferryAt(
  folder: string,
  { at, file, from = 1, does }: Moment,
  ...args: string[]
): Promise<Ended> {
  const hook = join(folder, `moment-${Math.random().toString(36).slice(2)}.mjs`)
  const given = at === 'openSync' ? 'path' : 'path, into, position, length'
  writeFileSync(
    hook,
    `import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
const real = { ...fs }
const file = ${file}
const happens = (count, ${given}) => { ${does} }
let count = 0
fs.openSync = (path, ...rest) => {
  if (${at === 'openSync'} && file.test(path) && ++count >= ${from}) happens(count, path)
  return real.openSync(path, ...rest)
}
fs.readSync = (fd, into, ...rest) => {
  const length = real.readSync(fd, into, ...rest)
  const path = ${at === 'readSync'} ? real.readlinkSync('/proc/self/fd/' + fd) : ''
  if (path !== '' && file.test(path) && ++count >= ${from}) {
    const [offset = 0, , position = 0] = rest
    happens(count, path, into.subarray(offset), position, length)
  }
  return length
}
syncBuiltinESMExports()
`,
  )
  return await crateferryIn({ NODE_OPTIONS: `--import ${hook}` }, ...args)
}
