import type { Socket } from 'node:net'
import type { buildConnector, Pool } from 'undici'
import { MirrorError } from '../error.ts'
import { HostGone, TransferCut } from './faults.ts'
import type { Place } from './url-policy.ts'
import { reason, unconnected } from './wire-errors.ts'

/** A forward proxy. The origin is what messages say of it; its password is in one header only. */
export interface ForwardProxy {
  readonly origin: string
  /** Proxy-Authorization, flat as all headers here; it is sent to the proxy and to nobody else. */
  readonly authorization: readonly string[]
}

/** The proxy of a URL such as `http://user:password@proxy.example:3128`. */
export function parseProxy(text: string): ForwardProxy {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    // not shown: where a URL is broken, a password may be anywhere in it
    throw new MirrorError('usage', "the proxy's URL must begin with http:// or https://")
  }
  return { origin: url.origin, authorization: basic(url) }
}

/** RFC 7617; in a URL both are percent-encoded. */
function basic({ username, password }: URL): readonly string[] {
  if (username === '' && password === '') return []
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return ['proxy-authorization', `Basic ${Buffer.from(pair).toString('base64')}`]
}

/**
 * Whether a host is asked without the proxy: `*` is every host, `.example.org` every host below it
 * but not itself, anything else one host by its name or address, whatever its port.
 */
export function isBypassed(origin: string, noProxy: readonly string[]): boolean {
  const { hostname } = new URL(origin)
  return noProxy.some(
    one => one === '*' || one === hostname || (one.startsWith('.') && hostname.endsWith(one)),
  )
}

/** A place as a proxy is asked for it: in absolute form (RFC 9112 3.2.2). */
export function forwarded(
  { origin, path }: Place,
  { origin: proxyOrigin, authorization }: ForwardProxy,
): Place & { readonly headers: readonly string[] } {
  const headers = ['host', new URL(origin).host, ...authorization]
  return { origin: proxyOrigin, path: `${origin}${path}`, headers }
}

/**
 * It does not serve this host, cannot reach it, or (407) wants a password or another one: that ends
 * the run, since who tries a wrong password again and again has the account locked.
 */
export function refusedBy(
  { origin }: ForwardProxy,
  authority: string,
  status: number,
): HostGone | TransferCut {
  const message = `the proxy ${origin} refused to connect to ${authority} (status ${status})`
  return status === 407 ? new HostGone(message) : new TransferCut(message)
}

type Connector = buildConnector.connector

/** Connects to the proxy itself, and says that it was the proxy which could not be reached. */
export function toProxy({ origin }: ForwardProxy, connect: Connector): Connector {
  // a request in absolute form names another host, whose name must not stand for the proxy's in TLS
  return ({ servername: _, ...options }, callback) => {
    connect(options, (error, socket) => {
      if (error === null || error === undefined) callback(null, socket)
      else callback(unconnected(`the proxy ${origin}`, error), null)
    })
  }
}

/**
 * Connects to an https host through a tunnel that the proxy makes (RFC 9110 9.3.6): its
 * certificate is checked by us as ever, and the proxy sees a host name and nothing more.
 */
export function throughTunnel(proxy: ForwardProxy, tunnels: Pool, connect: Connector): Connector {
  return (options, callback) => {
    const authority = options.port === '' ? `${options.host}:443` : `${options.host}`
    tunnel(proxy, tunnels, authority)
      .then(httpSocket => connect({ ...options, httpSocket }, callback))
      .catch(error => callback(error as Error, null))
  }
}

/** A bare connection to the far host, once the proxy has agreed. */
async function tunnel(proxy: ForwardProxy, tunnels: Pool, authority: string): Promise<Socket> {
  const headers = ['host', authority, ...proxy.authorization]
  const { statusCode, socket } = await answered(
    proxy,
    tunnels.connect({ path: authority, headers }),
  )
  if (statusCode === 200) return socket as Socket
  socket.on('error', () => {}).destroy()
  throw refusedBy(proxy, authority, statusCode)
}

/** What is said of the proxy by name already, is; the rest is a proxy that hangs, or hung up. */
async function answered<Answer>(
  { origin }: ForwardProxy,
  answer: Promise<Answer>,
): Promise<Answer> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof MirrorError) throw error
    throw new TransferCut(`the proxy ${origin} made no tunnel: ${reason(error as Error)}`, error)
  }
}
