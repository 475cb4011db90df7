import { MirrorError, quoted } from '../error.ts'
import { WrongForm } from './faults.ts'

/** Where a request goes. `path` begins with `/` and may have a query that only a redirect gives. */
export interface Place {
  /** Scheme, host and port; never user info. */
  readonly origin: string
  readonly path: string
}

/** The base URL of an upstream, ending in `/`. What could carry a secret is refused, not hidden. */
export function parseBase(text: string): Place {
  const url = URL.parse(text)
  if (url === null || !isHttp(url)) {
    throw new MirrorError('usage', `the upstream's URL must begin with http:// or https://`)
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new MirrorError(
      'usage',
      `the upstream's URL on ${quoted(url.host)} must have no user, password, query or fragment`,
    )
  }
  return {
    origin: url.origin,
    path: url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`,
  }
}

/** A literal `+` in a path is a space to object storage; `%2B` is right everywhere. */
export function placeOf(text: string): Place {
  const url = new URL(text)
  return { origin: url.origin, path: url.pathname.replaceAll('+', '%2B') }
}

/** For messages: a query may hold a signature and is left out. */
export function shown({ origin, path }: Place): string {
  const end = path.indexOf('?')
  const text = `${origin}${end === -1 ? path : path.slice(0, end)}`
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/**
 * Where a redirect leads. Only the upstream's own host and those on the list, never from https to
 * http, never with user info: a redirect must not turn us against a neighbour of ours.
 */
export function followed(
  from: Place,
  location: string,
  policy: { readonly home: Place; readonly hosts: readonly string[] },
): Place {
  const url = URL.parse(location, `${from.origin}${from.path}`)
  const refuse = (why: string): never => {
    const target = url === null ? location : url.host || url.protocol
    const message = `${shown(from)}: redirect to ${quoted(target)} refused: ${why}`
    throw new WrongForm('incomplete', message)
  }
  if (url === null) return refuse('it is not a URL')
  if (!isHttp(url)) return refuse('only http and https are followed')
  if (from.origin.startsWith('https:') && url.protocol === 'http:') {
    return refuse('it leads from https to http')
  }
  if (url.username !== '' || url.password !== '') return refuse('it has user info')
  if (url.host !== new URL(policy.home.origin).host && !policy.hosts.includes(url.host)) {
    return refuse('the host is not on the list of redirect-hosts')
  }
  return { origin: url.origin, path: `${url.pathname}${url.search}` }
}

function isHttp(url: URL): boolean {
  return url.protocol === 'https:' || url.protocol === 'http:'
}
