import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate for 127.0.0.1 and crates.test, and the authority that vouches for it. */
export interface Certificates {
  readonly ca: string
  readonly key: Buffer
  /** With the authority's own behind it, as servers send it. */
  readonly cert: Buffer
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** As a site with an authority of its own has them; undefined where openssl is missing. */
export async function makeCertificates(): Promise<Certificates | undefined> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'certificates-'))
  const at = (name: string): string => join(folder.path, name)
  const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { stdio: 'pipe' })
  try {
    const ca = ['-subj', '/CN=Site CA', '-keyout', at('ca.key'), '-out', at('ca.pem')]
    openssl('req', '-x509', ...EC, '-days', '2', ...ca)
    openssl('req', ...EC, '-subj', '/CN=crates', '-keyout', at('key.pem'), '-out', at('csr.pem'))
    writeFileSync(at('names'), 'subjectAltName=IP:127.0.0.1,DNS:localhost')
    const signed = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2']
    openssl(
      'x509',
      '-req',
      '-in',
      at('csr.pem'),
      ...signed,
      '-extfile',
      at('names'),
      '-out',
      at('cert.pem'),
    )
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const cert = Buffer.concat([readFileSync(at('cert.pem')), readFileSync(at('ca.pem'))])
  return { ca: readFileSync(at('ca.pem'), 'utf8'), key: readFileSync(at('key.pem')), cert }
}
