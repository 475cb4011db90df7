// A process of clients that hang on: `node hangers.ts HOST PORT PATH SLOW STILL`. Each has an address of its
// own on loopback. The slow ones read a little more than is asked of them, the others nothing; whoever is
// dropped comes again after a while. Says how often that was when it is told to stop.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const [host = '', port = '', path = '', slow = '0', still = '0'] = process.argv.slice(2)
const SLOW_BYTES_A_SECOND = 4096
const AGAIN_MS = 10_000
const HELD_MS = 20_000
/** Small reads, so that the kernel is asked for no more than is meant to be taken. */
const onread = { buffer: Buffer.alloc(SLOW_BYTES_A_SECOND), callback: () => false }
let dropped = 0

const all = Number(slow) + Number(still)
for (let n = 0; n < all; n += 1) void hang(n, (n * Number(slow)) % all < Number(slow))

async function hang(n: number, isSlow: boolean): Promise<never> {
  const localAddress = `127.1.${n >> 8}.${n & 255}`
  for (;;) {
    await new Promise<void>(done => {
      const socket = connect({ host, port: Number(port), localAddress, onread })
      socket.on('error', () => {}).on('close', () => done())
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      if (isSlow) nibble(socket)
      else hold(socket)
    })
    dropped += 1
    await sleep(AGAIN_MS)
  }
}

/** Who does not read is not told that it was dropped, so it comes again by itself. */
function hold(socket: ReturnType<typeof connect>): void {
  socket.pause()
  setTimeout(() => socket.destroy(), HELD_MS)
}

function nibble(socket: ReturnType<typeof connect>): void {
  const timer = setInterval(() => socket.resume(), 1000)
  socket.once('close', () => clearInterval(timer))
}

process.once('SIGTERM', () => {
  process.stdout.write(`${dropped}\n`)
  process.exit(0)
})
