import { X509Certificate } from 'node:crypto'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { durationText } from '../units.ts'
import { readCertificate } from './certificate.ts'
import { type Check, failed, ok, type Patient, warn } from './doctor-check.ts'
import { mirrorFacts } from './facts.ts'

const DAY_SECONDS = 86_400

/** What is published, whether it is fresh, and what ends soon. */
export async function mirrorChecks({
  context,
  mirror,
  config,
}: Patient): Promise<readonly Check[]> {
  const now = context.now()
  const { published, fresh, held, expires } = await mirrorFacts(mirror, config, now)
  if (published === undefined) return [warn('published', 'nothing yet; run sync')]
  const checks = [
    ok('published', `snapshot ${published.n} of ${published.at}, ${published.entries} crates`),
  ]
  if (fresh.checkedAt !== undefined) {
    const what = `compared with its source ${fresh.checkedAt}, wanted within ${fresh.withinHours} h`
    checks.push(fresh.isFresh ? ok('fresh', what) : warn('fresh', what))
  }
  const waiting = Object.keys(held).length
  if (waiting > 0)
    checks.push(warn('held', `${waiting} crates wait for what they lack; see status`))
  const limit = now.getTime() + config.hooks.expiryDays * DAY_SECONDS * 1000
  for (const [role, end] of Object.entries(expires ?? {})) {
    const isLong = role === 'root' || role === 'targets'
    if (Date.parse(end) < (isLong ? limit : now.getTime())) {
      checks.push(warn('trust', `the ${role} metadata ends ${end}`))
    }
  }
  return checks
}

/** What the configuration names beside the mirror. */
export async function placeChecks({ context, mirror, config }: Patient): Promise<readonly Check[]> {
  const { bundle, hooks } = config
  const at = (folder: string): string => resolve(mirror.root, folder)
  const checks: Check[] = []
  for (const folder of bundle.inbox.map(at)) {
    if (!isFolder(folder)) checks.push(warn('inbox', `${folder} is not a folder that can be read`))
  }
  const [program] = hooks.command
  if (program !== undefined && !canRun(program, context.env['PATH'])) {
    checks.push(warn('hooks', `hooks.command: ${program} cannot be run`))
  }
  try {
    const certificate = readCertificate(mirror.root, config)
    if (certificate !== undefined) checks.push(certificateCheck(certificate.cert, context.now()))
  } catch (error) {
    checks.push(failed('certificate', error, context.env))
  }
  return checks
}

function isFolder(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK)
    return statSync(folder).isDirectory()
  } catch {
    return false
  }
}

function canRun(program: string, path = ''): boolean {
  const files = program.includes('/')
    ? [program]
    : path.split(delimiter).map(folder => join(folder, program))
  return files.some(file => {
    try {
      accessSync(file, constants.X_OK)
      return existsSync(file)
    } catch {
      return false
    }
  })
}

const CERTIFICATE_DAYS = 14

function certificateCheck(pem: Uint8Array, now: Date): Check {
  const { validTo, subjectAltName = 'no name' } = new X509Certificate(pem)
  const seconds = (Date.parse(validTo) - now.getTime()) / 1000
  const what = `${subjectAltName}, until ${validTo}`
  if (seconds > CERTIFICATE_DAYS * DAY_SECONDS) return ok('certificate', what)
  const ends = seconds > 0 ? `ends in ${durationText(seconds)}` : 'has ended'
  return warn('certificate', `${what}: it ${ends}`)
}
