import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { Config } from '../config.ts'
import { FileWatch } from '../daemon/file-watch.ts'
import { MirrorError, quoted } from '../error.ts'
import type { Certificate } from '../serve/listeners.ts'
import type { RunningServer } from '../serve/server.ts'

const LOOK_MS = 1000

/**
 * What `serve.tls-certificate` and `serve.tls-key` name; undefined where neither is set.
 *
 * @throws {MirrorError} usage: one without the other, unreadable, not fitting each other
 */
export function readCertificate(root: string, { serve }: Config): Certificate | undefined {
  const { tlsCertificate, tlsKey } = serve
  if (tlsCertificate === undefined && tlsKey === undefined) return undefined
  if (tlsCertificate === undefined || tlsKey === undefined) {
    const message = 'serve.tls-certificate and serve.tls-key are set together, or neither is'
    throw new MirrorError('usage', message)
  }
  const cert = bytesOf('serve.tls-certificate', resolve(root, tlsCertificate))
  const key = bytesOf('serve.tls-key', resolve(root, tlsKey))
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    const { message } = error as Error
    throw new MirrorError(
      'usage',
      `serve.tls-certificate: ${quoted(tlsCertificate)} is no certificate in PEM for the key in ${quoted(tlsKey)} (${message})`,
    )
  }
  return { cert, key }
}

/**
 * Gives a server what its two files hold, whenever they change: whoever renews a certificate need
 * not know of us. Between the one file and the other they do not fit; then the one before goes on.
 */
export function followCertificate(
  server: RunningServer,
  { root, config, log }: CertificateFiles,
): AsyncDisposable {
  const { tlsCertificate = '', tlsKey = '' } = config.serve
  const files = new FileWatch([resolve(root, tlsCertificate), resolve(root, tlsKey)])
  const look = (): void => {
    if (files.take().length === 0) return
    try {
      const certificate = readCertificate(root, config)
      if (certificate === undefined) return
      server.renew(certificate)
      log('the new certificate of serve.tls-certificate is in use')
    } catch (error) {
      log(`the certificate before goes on: ${(error as Error).message}`)
    }
  }
  const timer = setInterval(look, LOOK_MS)
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await files[Symbol.asyncDispose]()
    },
  }
}

interface CertificateFiles {
  readonly root: string
  readonly config: Config
  readonly log: (line: string) => void
}

function bytesOf(key: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new MirrorError(
      'usage',
      `${key}: ${quoted(file)} cannot be read (${code ?? 'no reason given'})`,
    )
  }
}
