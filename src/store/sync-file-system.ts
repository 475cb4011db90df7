import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { MirrorError } from '../error.ts'

/**
 * Flushes the file system that holds `root`. False where that cannot be done here; what the disk
 * lost is an error. Node has no `syncfs`, so the program `sync` does it. A fork of this process
 * would copy its page tables every time, ten milliseconds; so a shell that is forked once stands
 * ready to fork it. The shell ends with us.
 */
export async function syncFileSystem(root: string): Promise<boolean> {
  const { exit, said } = await shells.getOrInsertComputed(root, root => new Shell(root)).sync()
  if (exit === 0) return true
  const isFull = FULL.test(said)
  if (!isFull && !LOST.test(said)) return false
  throw new MirrorError(isFull ? 'no-space' : 'io', `cannot flush ${root}: ${said.trim()}`)
}

const LOST = /input\/output error|i\/o error/i
const FULL = /no space left|quota exceeded/i

/** A round for each line it reads. What ends us by the keyboard must not end a flush under way. */
const ROUNDS = `trap "" INT TERM HUP; while read -r _; do sync -f "$1" 2>&1; echo "exit $?"; done`

interface Ended {
  /** Undefined where the shell is gone, or never was. */
  readonly exit: number | undefined
  readonly said: string
}

const shells = new Map<string, Shell>()

class Shell {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #waiting: ((ended: Ended) => void)[] = []
  #said = ''

  constructor(root: string) {
    const env = { ...process.env, LC_ALL: 'C' }
    this.#process = spawn('sh', ['-c', ROUNDS, 'sh', root], {
      env,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const { stdin, stdout } = this.#process
    const gone = (): void => {
      shells.delete(root)
      while (this.#waiting.length > 0) this.#tell({ exit: undefined, said: '' })
    }
    this.#process.on('error', gone).on('close', gone)
    stdin.on('error', gone)
    stdout.setEncoding('utf8').on('data', text => this.#hear(text))
    this.#process.unref()
    this.#hold(false)
  }

  sync(): Promise<Ended> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      this.#hold(true)
      this.#process.stdin.write('\n')
    })
  }

  #hear(text: string): void {
    this.#said += text
    for (;;) {
      const end = /^exit (\d+)\n/m.exec(this.#said)
      if (end === null) return
      const said = this.#said.slice(0, end.index)
      this.#said = this.#said.slice(end.index + end[0].length)
      this.#tell({ exit: Number(end[1]), said })
    }
  }

  #tell(ended: Ended): void {
    this.#waiting.shift()?.(ended)
    if (this.#waiting.length === 0) this.#hold(false)
  }

  /** Only while somebody waits does the shell keep this process alive. */
  #hold(isAwaited: boolean): void {
    for (const pipe of [this.#process.stdin, this.#process.stdout] as unknown as Socket[]) {
      if (isAwaited) pipe.ref()
      else pipe.unref()
    }
  }
}
