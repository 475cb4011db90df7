import { HttpClient, type HttpOptions } from '../../src/upstream/http.ts'
import type { HttpTimes } from '../../src/upstream/retry.ts'
import type { ArtifactBody } from '../../src/upstream/upstream.ts'

/** The client's own times, short: it is the real client that waits them out. */
export const SHORT: Partial<HttpTimes> = {
  connectMs: 1_000,
  headersMs: 300,
  bodyMs: 300,
  requestMs: 500,
  floorBytesPerSecond: 1_000,
  floorWindowMs: 300,
  backoffMs: 4,
  backoffMsMax: 20,
}

/** A client as a run has one, which ends with its test. */
export class TestClient extends HttpClient implements AsyncDisposable {
  constructor({ times, ...options }: Partial<HttpOptions> = {}) {
    const name = { userAgent: 'crateferry/test (+https://example.invalid)' }
    super({ ...name, ...options, times: { ...SHORT, ...times } })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** All that comes of a body, and the error that ended it, if one did. */
export async function drained(
  body: ArtifactBody,
): Promise<{ readonly offset: number; readonly bytes: Buffer; readonly error: unknown }> {
  const { offset } = body
  if ('pieces' in body) return { offset, bytes: Buffer.concat(body.pieces), error: undefined }
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of body.chunks) chunks.push(chunk)
    return { offset, bytes: Buffer.concat(chunks), error: undefined }
  } catch (error) {
    return { offset, bytes: Buffer.concat(chunks), error }
  }
}
