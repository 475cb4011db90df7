import { MirrorError } from '../error.ts'
import { type Context, openConfigured } from './context.ts'
import { cargoChecks } from './doctor-cargo.ts'
import { type Check, failed, type Patient } from './doctor-check.ts'
import { diskChecks } from './doctor-disk.ts'
import { mirrorChecks, placeChecks } from './doctor-mirror.ts'
import { networkChecks } from './doctor-network.ts'
import { programChecks } from './doctor-program.ts'
import { serviceChecks } from './doctor-service.ts'

/** Each looks at one thing, changes nothing, and goes on whatever the others found. */
const EXAMINATIONS: readonly ((patient: Patient) => Promise<readonly Check[]>)[] = [
  diskChecks,
  networkChecks,
  mirrorChecks,
  placeChecks,
  serviceChecks,
  cargoChecks,
]

/**
 * `crateferry doctor`: looks at all that a mirror needs, and lets a real cargo fetch from it. It
 * ends with the code of the first check that failed.
 */
export async function doctorCommand(context: Context): Promise<number> {
  const checks: Check[] = []
  const tell = (found: readonly Check[]): void => {
    for (const check of found) {
      checks.push(check)
      const { state, name, what } = check
      if (!context.out.isJson)
        context.out.item({}, `${state.padEnd(4)}  ${name.padEnd(10)}  ${what}`)
    }
  }
  tell(programChecks())
  const patient = await patientOf(context)
  if ('state' in patient) tell([patient])
  else for (const examine of EXAMINATIONS) tell(await examined(examine, patient))
  const first = checks.find(({ state }) => state === 'fail')
  const exit = first?.exit ?? 0
  const failures = checks.filter(({ state }) => state === 'fail').length
  const warnings = checks.filter(({ state }) => state === 'warn').length
  const line =
    failures + warnings === 0 ? 'all is well' : `${failures} failed, ${warnings} warnings`
  context.out.result({ ok: exit === 0, exit, checks }, [line])
  return exit
}

async function patientOf(context: Context): Promise<Patient | Check> {
  try {
    return { context, ...(await openConfigured(context)) }
  } catch (error) {
    return failed('mirror', error, context.env)
  }
}

async function examined(
  examine: (typeof EXAMINATIONS)[number],
  patient: Patient,
): Promise<readonly Check[]> {
  try {
    return await examine(patient)
  } catch (error) {
    patient.context.signal.throwIfAborted()
    if (!(error instanceof MirrorError)) throw error
    return [failed('mirror', error, patient.context.env)]
  }
}
