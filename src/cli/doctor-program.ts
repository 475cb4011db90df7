import { readFileSync } from 'node:fs'
import packageJson from '#package.json' with { type: 'json' }
import { VERSION } from './context.ts'
import { type Check, ok, warn } from './doctor-check.ts'

/** Connections, files and sockets at once, with room to spare. */
const FILES_WANTED = 4096

/** The program, and what the system lets it have. */
export function programChecks(): readonly Check[] {
  const { node, openssl } = process.versions
  const { undici } = packageJson.dependencies
  const versions = `crateferry ${VERSION}, Node ${node}, OpenSSL ${openssl}, undici ${undici}`
  return [ok('program', versions), ...filesCheck()]
}

/** Linux tells it in a file; elsewhere it is not known. */
function filesCheck(): readonly Check[] {
  const limit = openFilesMax()
  if (limit === undefined) return []
  if (limit >= FILES_WANTED) return [ok('limits', `${limit} open files`)]
  const advice = 'raise it (ulimit -n, LimitNOFILE=)'
  return [
    warn('limits', `${limit} open files, ${FILES_WANTED} are wanted to serve many: ${advice}`),
  ]
}

function openFilesMax(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    const soft = /^Max open files +(\d+|unlimited)/m.exec(limits)?.[1]
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : (soft && Number(soft)) || undefined
  } catch {
    return undefined
  }
}
