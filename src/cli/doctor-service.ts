import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { promisify } from 'node:util'
import { askControl } from '../daemon/control.ts'
import { controlSocket } from './ctl.ts'
import { type Check, ok, type Patient, warn } from './doctor-check.ts'

/** Whether a daemon keeps this mirror, and clients find it where config.json sends them. */
export async function serviceChecks(patient: Patient): Promise<readonly Check[]> {
  return [await daemonCheck(patient), ...(await unitCheck(patient)), await serverCheck(patient)]
}

async function daemonCheck({ mirror, config }: Patient): Promise<Check> {
  const socket = controlSocket(mirror.root, config)
  if (!existsSync(socket)) return ok('daemon', 'none runs: sync and serve by hand or by timers')
  try {
    const { isPaused, nextSync, configError } = await askControl(socket, 'status')
    if (configError !== undefined) return warn('daemon', `configuration not taken: ${configError}`)
    if (isPaused === true) return warn('daemon', 'it is paused; crateferry ctl resume')
    return ok('daemon', nextSync === undefined ? 'it runs' : `it runs, next sync ${nextSync}`)
  } catch (error) {
    return warn('daemon', (error as Error).message)
  }
}

const UNITS_AT = '/var/lib/crateferry'

/** Where a mirror lies as the units have it, its instance is looked at. */
async function unitCheck({ mirror }: Patient): Promise<readonly Check[]> {
  if (dirname(mirror.root) !== UNITS_AT || !existsSync('/run/systemd/system')) return []
  const unit = `crateferry@${basename(mirror.root)}.service`
  const asked = ['show', unit, '--property=LoadState,UnitFileState,ActiveState', '--value']
  try {
    const { stdout } = await promisify(execFile)('systemctl', asked)
    const [load = '', enabled = '', active = ''] = stdout.trim().split('\n')
    const what = `${unit} is ${[load, enabled, active].filter(Boolean).join(', ')}`
    return [active === 'active' && enabled === 'enabled' ? ok('unit', what) : warn('unit', what)]
  } catch (error) {
    return [warn('unit', `systemctl cannot be asked: ${(error as Error).message}`)]
  }
}

const ANSWER_MS = 5000

async function serverCheck({ config }: Patient): Promise<Check> {
  const { url } = config.serve
  const asked = `${url.replace(/\/+$/, '')}/index/config.json`
  try {
    const answer = await fetch(asked, { redirect: 'error', signal: AbortSignal.timeout(ANSWER_MS) })
    const { dl } = (await answer.json()) as { dl?: unknown }
    if (typeof dl === 'string' && dl.startsWith(`${url.replace(/\/+$/, '')}/crates/`)) {
      return ok('server', `${url} answers, and sends clients to itself`)
    }
    return warn('server', `${asked} is another's: its "dl" is ${JSON.stringify(dl)}`)
  } catch (error) {
    const { message, cause } = error as Error
    const why = cause instanceof Error ? cause.message : message
    return warn('server', `nothing that clients can use answers at ${url} (serve.url): ${why}`)
  }
}
