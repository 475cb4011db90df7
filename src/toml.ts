import { parse, TomlError } from 'smol-toml'
import { MirrorError } from './error.ts'

/** The table in a TOML file's bytes; every fault is a usage error that names the line. */
export function parseToml(bytes: Uint8Array, file: string): Record<string, unknown> {
  const source = decoded(bytes, file)
  try {
    return parse(source)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const fault = error.message.split('\n')[0]?.replace('Invalid TOML document', 'not TOML')
    throw new MirrorError('usage', `${file}:${error.line}:${error.column}: ${fault}`, {
      cause: error,
    })
  }
}

/** A byte order mark, which some editors write, is left out. */
function decoded(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new MirrorError('usage', `${file} is not UTF-8`, { cause: error })
  }
}
