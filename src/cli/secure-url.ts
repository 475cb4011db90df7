import { MirrorError, quoted } from '../error.ts'

/** Why a URL must be https. */
export const UNSIGNED = 'what nobody signs is believed over TLS only'
export const SECRET = 'a token is told over TLS only'

/** Loopback is this machine. @throws {MirrorError} usage */
export function requireSecure(url: string, what: string, why: string): void {
  const parsed = URL.parse(url.replaceAll(/[{}]/g, ''))
  if (parsed?.protocol === 'https:') return
  const isLoopback = /^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(parsed?.hostname ?? '')
  if (parsed?.protocol === 'http:' && isLoopback) return
  throw new MirrorError('usage', `${what} ${quoted(url)} is not https: ${why}`)
}
