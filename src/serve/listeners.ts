import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createSecureServer, type Http2SecureServer } from 'node:http2'
import type { ServeLimits } from './limits.ts'

/** In PEM: the certificate with the chain that vouches for it, and its private key. */
export interface Certificate {
  readonly cert: Uint8Array
  readonly key: Uint8Array
}

type Listener = (request: IncomingMessage, response: ServerResponse) => void

const REQUESTS_PER_CONNECTION = 1000
const STREAMS_PER_CONNECTION = 100
const HEADER_BYTES_MAX = 8192

/**
 * HTTP/1.1 on clear text. There is no 'upgrade' listener: cargo asks for h2c, and Node would hand
 * every one of its requests to it.
 */
export function plainServer(limits: ServeLimits, listener: Listener): Server {
  const server = createServer(
    {
      ...timeouts(limits),
      keepAliveTimeout: limits.keepAliveMs,
      maxHeaderSize: HEADER_BYTES_MAX,
      insecureHTTPParser: false,
    },
    listener,
  )
  server.timeout = limits.silentMs
  server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION
  return server
}

/** TLS 1.2 or newer, with HTTP/2 for who asks for it. @throws {Error} where the two do not fit */
export function secureServer(
  limits: ServeLimits,
  { cert, key }: Certificate,
  listener: Listener,
): Http2SecureServer {
  const options = {
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    allowHTTP1: true,
    http1Options: { keepAliveTimeout: limits.keepAliveMs },
    ...timeouts(limits),
    handshakeTimeout: limits.headersMs,
    maxHeaderSize: HEADER_BYTES_MAX,
    settings: {
      maxConcurrentStreams: STREAMS_PER_CONNECTION,
      maxHeaderListSize: HEADER_BYTES_MAX,
      enablePush: false,
    },
  }
  // node:http2 gives requests of HTTP/2 the very form of those of HTTP/1.1
  const server = createSecureServer(options, listener as unknown as () => void)
  server.setTimeout(limits.silentMs)
  return server
}

function timeouts({ headersMs, requestMs, checkMs }: ServeLimits) {
  return {
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: checkMs,
  }
}
