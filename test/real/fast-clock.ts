// Preloaded by the soak with `--import`: this process's dates go `FAST_CLOCK_FACTOR` times as fast,
// from `FAST_CLOCK_AHEAD_MS` ahead of the machine's. Timers and time limits stay those of the machine.
const factor = Number(process.env['FAST_CLOCK_FACTOR'])
const ahead = Number(process.env['FAST_CLOCK_AHEAD_MS'])
const RealDate = Date
const begun = RealDate.now()

function now(): number {
  const at = RealDate.now()
  return at + ahead + (at - begun) * (factor - 1)
}

globalThis.Date = new Proxy(RealDate, {
  construct: (target, given, made) =>
    Reflect.construct(target, given.length === 0 ? [now()] : given, made) as object,
  apply: () => new RealDate(now()).toString(),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
})
