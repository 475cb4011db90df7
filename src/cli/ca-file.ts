import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { MirrorError, quoted } from '../error.ts'

const CA_BYTES_MAX = 1_048_576
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * The certificates that `upstream.ca-file` names, in PEM. Whatever else the file holds, such as a
 * key, is left out; a certificate that cannot be read is an error, since TLS would only leave it out.
 */
export function readCaFile(file: string): string {
  const certificates = text(file).match(CERTIFICATE) ?? []
  if (certificates.length === 0) throw unusable(file, 'has no certificate in PEM')
  for (const [i, certificate] of certificates.entries()) assertReadable(certificate, i + 1, file)
  return certificates.join('\n')
}

function text(file: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw unusable(file, `cannot be read (${code ?? 'no reason given'})`)
  }
  if (bytes.length > CA_BYTES_MAX) throw unusable(file, 'is longer than 1 MiB')
  return bytes.toString('latin1')
}

function assertReadable(certificate: string, n: number, file: string): void {
  try {
    new X509Certificate(certificate)
  } catch {
    throw unusable(file, `has a certificate that cannot be read, its number ${n}`)
  }
}

function unusable(file: string, fault: string): MirrorError {
  return new MirrorError('usage', `upstream.ca-file: ${quoted(file)} ${fault}`)
}
