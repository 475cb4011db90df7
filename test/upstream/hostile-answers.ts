import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { answer, chunk, ok, type Script } from './raw-server.ts'

/** What a hostile or a broken server may answer, made of what an honest one would have. */
export type Hostile = (body: Buffer) => Script

/** Sends, then ends the connection as it is told. */
export const say =
  (bytes: Uint8Array, end: 'open' | 'fin' | 'rst' = 'open'): Script =>
  socket => {
    socket.write(bytes, () => {
      if (end === 'fin') socket.end()
      if (end === 'rst') socket.resetAndDestroy()
    })
  }

/** Sends for ever, as fast as it is taken or with a pause in between. */
export const endlessly =
  (head: Uint8Array, piece: Uint8Array, pauseMs = 0): Script =>
  socket => {
    socket.write(head)
    pour(socket, piece, pauseMs).catch(error => socket.destroy(error))
  }

async function pour(socket: Socket, piece: Uint8Array, pauseMs: number): Promise<void> {
  while (!socket.destroyed) {
    if (!socket.write(piece)) await sleep(1)
    if (pauseMs > 0) await sleep(pauseMs)
  }
}

const CHUNKED = 'transfer-encoding: chunked'
const length = (bytes: number): string => `content-length: ${bytes}`
const part = (body: Buffer): Buffer => body.subarray(0, Math.floor(body.length * 0.6))
/** A head with the true length, and what is given as its body. */
const under = (status: string, body: Buffer, ...headers: string[]): Buffer =>
  answer(status, [length(body.length), ...headers], body)
const moved =
  (to: string): Hostile =>
  body =>
    say(under('302 Found', body, `location: ${to}`))

/** Answers that are nothing like the file that was asked for, whatever it is. */
export const HOSTILE: Readonly<Record<string, Hostile>> = {
  'FIN at 60 %': body => say(answer('200 OK', [length(body.length)], part(body)), 'fin'),
  'RST at 60 %': body => say(answer('200 OK', [length(body.length)], part(body)), 'rst'),
  'no length, RST at 60 %': body => say(answer('200 OK', [], part(body)), 'rst'),
  'no length, FIN at 60 %': body => say(answer('200 OK', [], part(body)), 'fin'),
  'a length that is too small': body => say(answer('200 OK', [length(part(body).length)], body)),
  'chunked, cut': body => say(answer('200 OK', [CHUNKED], chunk(part(body))), 'fin'),
  'a bad chunk size': () => say(answer('200 OK', [CHUNKED], 'zz\r\n')),
  'a stall after the head': body => say(answer('200 OK', [length(body.length)])),
  'a stall at 60 %': body => say(answer('200 OK', [length(body.length)], part(body))),
  'one byte every 20 ms': body =>
    endlessly(answer('200 OK', [length(body.length)]), Buffer.from('x'), 20),
  'no answer at all': () => () => {},
  'a close without an answer': () => socket => socket.end(),
  'two lengths': body => say(under('200 OK', body, length(part(body).length))),
  'a length and chunks': body => say(under('200 OK', Buffer.from(chunk(body)), CHUNKED)),
  'a negative length': body => say(answer('200 OK', [length(-1)], body)),
  'a length of 10^22': () => say(answer('200 OK', [`content-length: 1${'0'.repeat(22)}`])),
  '20 KiB of headers': body =>
    say(
      under(
        '200 OK',
        body,
        ...Array.from({ length: 20 }, (_, i) => `x-${i}: ${'y'.repeat(1_000)}`),
      ),
    ),
  '5,000 headers': body =>
    say(under('200 OK', body, ...Array.from({ length: 5_000 }, (_, i) => `x-${i}: y`))),
  'bare LF in the head': body =>
    say(Buffer.from(`HTTP/1.1 200 OK\n${length(body.length)}\n\n${body}`)),
  '1,000 times 100 Continue': () => say(Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'.repeat(1_000))),
  'an upgrade that nobody asked for': () =>
    say(answer('101 Switching Protocols', ['upgrade: x', 'connection: upgrade'])),
  'what is not HTTP': () => say(Buffer.from('220 mail.example ESMTP\r\n')),
  'status 000': body => say(under('000 Nothing', body)),
  'status 999': body => say(under('999 Odd', body)),
  'status 201': body => say(under('201 Created', body)),
  'status 204 with a body': body => say(under('204 No Content', body)),
  'status 206 that nobody asked for': body =>
    say(
      under(
        '206 Partial Content',
        body,
        `content-range: bytes 0-${body.length - 1}/${body.length}`,
      ),
    ),
  'status 403': body => say(under('403 Forbidden', body)),
  'status 401': body => say(under('401 Unauthorized', body)),
  'status 500': body => say(under('500 Sorry', body)),
  'status 503': body => say(under('503 Sorry', body)),
  'a redirect to itself':
    () =>
    (socket, { path }) => {
      socket.write(answer('302 Found', ['content-length: 0', `location: ${path}`]))
    },
  'a redirect to a file': moved('file:///etc/passwd'),
  'a redirect to another host': moved('http://169.254.169.254/latest'),
  'a redirect with a password': moved('http://user:word@127.0.0.1/'),
  'a gzip bomb': () => say(ok(BOMB, 'content-encoding: gzip')),
  'gzip twice': body => say(ok(gzipSync(gzipSync(body)), 'content-encoding: gzip, gzip')),
  'gzip claimed of plain bytes': body => say(ok(body, 'content-encoding: gzip')),
  'gzip cut, lengths consistent': body => {
    const zipped = gzipSync(body)
    return say(ok(zipped.subarray(0, zipped.length - 12), 'content-encoding: gzip'))
  },
  brotli: body => say(ok(body, 'content-encoding: br')),
  'an endless body': () =>
    endlessly(answer('200 OK', [CHUNKED]), chunk(Buffer.alloc(1_000_000, ' '))),
  'a captive portal': () => say(ok('<html><body>Please log in</body></html>\n')),
  'nothing, with 200': () => say(ok('')),
  zeros: body => say(ok(Buffer.alloc(body.length))),
}

/** More than any of our limits for what may be compressed. */
const BOMB = gzipSync(Buffer.alloc(80_000_000, ' '))
