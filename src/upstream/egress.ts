import { createSecureContext, getCACertificates } from 'node:tls'
import { Agent, buildConnector, Pool } from 'undici'
import { LIMITS } from './limits.ts'
import {
  type ForwardProxy,
  forwarded,
  isBypassed,
  parseProxy,
  throughTunnel,
  toProxy,
} from './proxy.ts'
import type { HttpTimes } from './retry.ts'
import type { Place } from './url-policy.ts'

/** Through what requests leave, and whom TLS believes. */
export interface EgressOptions {
  readonly connections: number
  readonly times: HttpTimes
  /** URL of a forward proxy, which may hold a user and a password. */
  readonly proxy?: string | undefined
  /** What is asked without it; see `isBypassed`. */
  readonly noProxy?: readonly string[]
  /** Certificates, in PEM, of authorities that are believed beside those of the system. */
  readonly ca?: string | undefined
}

/** Where a request for a place really goes. */
export interface Route extends Place {
  /** What has to be said on the way, beside what is asked; flat. */
  readonly headers?: readonly string[]
  /** Who answers first, where it is not the place itself. */
  readonly proxy?: ForwardProxy
}

/**
 * The way out: connections straight to each host, or through a proxy. What an https host is asked
 * goes through a tunnel. What an http host is asked goes to the proxy in absolute form, since
 * ordinary proxies make tunnels to port 443 only. (Undici's ProxyAgent does the same two things;
 * but it replaces a method of whoever handles the answer, connects to the proxy without our limits,
 * and tells a refusal in words only.)
 */
export class Egress {
  readonly agent: Agent
  readonly #proxy: ForwardProxy | undefined
  readonly #noProxy: readonly string[]
  readonly #tunnels: Pool | undefined

  constructor({ connections, times, proxy, noProxy = [], ca }: EgressOptions) {
    const connect = { timeout: times.connectMs, allowH2: false, ...believing(ca) }
    const common = {
      allowH2: false,
      pipelining: 1,
      headersTimeout: times.headersMs,
      bodyTimeout: times.bodyMs,
      keepAliveTimeout: 4000,
      maxHeaderSize: LIMITS.headerBytes,
      maxResponseSize: LIMITS.artifactBytes,
    }
    this.#noProxy = noProxy
    if (proxy === undefined) {
      this.agent = new Agent({ ...common, connections, connect })
      return
    }
    this.#proxy = parseProxy(proxy)
    const direct = buildConnector(connect)
    const near = toProxy(this.#proxy, direct)
    this.#tunnels = new Pool(this.#proxy.origin, {
      ...common,
      headersTimeout: times.connectMs,
      connect: near,
    })
    const far = throughTunnel(this.#proxy, this.#tunnels, direct)
    this.agent = new Agent({
      ...common,
      connections,
      connect: (options, callback) => {
        const origin = `${options.protocol}//${options.host}`
        if (origin === this.#proxy?.origin) near(options, callback)
        else if (isBypassed(origin, this.#noProxy)) direct(options, callback)
        else far(options, callback)
      },
    })
  }

  route(place: Place): Route {
    const proxy = this.#proxy
    if (proxy === undefined || isBypassed(place.origin, this.#noProxy)) return place
    // what is asked through a tunnel is none of the proxy's business
    if (place.origin.startsWith('https:')) return place
    return { ...forwarded(place, proxy), proxy }
  }

  /** Ends what is still under way. */
  async destroy(): Promise<void> {
    await this.agent.destroy()
    await this.#tunnels?.destroy()
  }
}

/** One context for all connections: a list of authorities is long to read. */
function believing(ca: string | undefined): {
  secureContext?: ReturnType<typeof createSecureContext>
} {
  if (ca === undefined) return {}
  return { secureContext: createSecureContext({ ca: [...getCACertificates('default'), ca] }) }
}
