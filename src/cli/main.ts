import { Command, CommanderError, Option } from 'commander'
import { wholeNumber } from './amounts.ts'
import { addBundleCommands } from './bundle.ts'
import { type Context, type GlobalOptions, Output, VERSION } from './context.ts'
import { documented, exitCodesText } from './help.ts'
import { EXIT, EXIT_WORDS, failure } from './report.ts'
import { addShellCommands } from './shell-commands.ts'
import { stopOnSignals } from './signals.ts'
import { addSigningCommands } from './signing-commands.ts'

/** What an operator types. Sets the exit code; nothing else in the program ends the process. */
export async function main(): Promise<void> {
  const { env } = process
  // whoever reads may leave before the end: what is done goes on
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreClosed)
  const stop = stopOnSignals()
  const program = programFor(stop.signal)
  try {
    await program.parseAsync()
  } catch (error) {
    const options = program.opts<GlobalOptions>()
    process.exitCode = exitOf(error, options, env, stop.signal)
  }
}

function ignoreClosed(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}

function exitOf(
  error: unknown,
  options: GlobalOptions,
  env: Context['env'],
  signal: AbortSignal,
): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage
  const { line, exit } = failure(signal.aborted ? signal.reason : error, env)
  process.stderr.write(`${line}\n`)
  if (options.json) process.stdout.write(`${JSON.stringify({ ok: false, exit, error: line })}\n`)
  return exit
}

function programFor(signal: AbortSignal): Command {
  const program = new Command('crateferry')
    .description('An offline-first, verified bulk mirror for crates.io')
    .version(VERSION)
    .option('--mirror <dir>', 'the mirror; else CRATEFERRY_MIRROR, else the current folder')
    .option('--json', 'print the result as JSON on stdout')
    .option('--quiet', 'print nothing to stderr but one line for a failure')
    .option('--no-color', 'no colours, as with NO_COLOR set')
    .addHelpText('after', `\n${exitCodesText(EXIT_WORDS.map(([code]) => code))}`)
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'crateferry: ')),
    })
    .exitOverride()
  const context = (): Context => ({
    env: process.env,
    cwd: process.cwd(),
    signal,
    now: () => new Date(),
    options: program.opts<GlobalOptions>(),
    out: new Output(program.opts<GlobalOptions>(), process.env),
  })
  addCommands(program, context)
  return program
}

function addCommands(program: Command, context: () => Context): void {
  const run = (work: (context: Context) => Promise<number>) => async (): Promise<void> => {
    process.exitCode = await work(context())
  }

  documented(program.command('demo'), {
    does: 'show it all on this machine: sign, mirror, verify, serve, build',
    example: 'crateferry demo',
    exits: [0, 3, 4, 20, 21],
  }).action(run(async c => (await import('./demo.ts')).demoCommand(c)))

  documented(program.command('init <dir>'), {
    does: 'make a mirror directory, with a pinned root or of an upstream that signs nothing',
    example:
      'crateferry init mirror --upstream https://mirror.example/ --root 1.root.json\n  crateferry init mirror --observed --contact crates@site.example',
    exits: [0, 3, 11, 16, 21, 64],
  })
    .option('--root <file>', 'the root to pin, which somebody you trust gave you')
    .option('--observed', 'the upstream signs nothing: believe what TLS brings')
    .option(
      '--upstream <url>',
      'a signed repository (without one the mirror is filled by bundles); with --observed a sparse index (without one crates.io)',
    )
    .option('--metadata <url>', 'of a TUF repository laid out in another way: its metadata,')
    .option('--targets <url>', 'its targets,')
    .option('--artifacts <dl>', 'and its crates, with {crate} and {version}')
    .option('--contact <text>', 'a mail address or URL to reach you, sent in the User-Agent')
    .option('--token-file <file>', 'a file with the token that the upstream asks for')
    .option('--allow-host <host...>', "with --observed: hosts that the index's downloads may be on")
    .action((dir, options) =>
      run(async c => (await import('./init.ts')).initCommand(c, dir, options))(),
    )

  documented(program.command('sync'), {
    does: 'bring the mirror to the newest snapshot: whatever is due, once',
    example: 'crateferry sync --mirror mirror',
    exits: [0, 3, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 30, 64],
  })
    .option('--dry-run', 'say what would be fetched, and fetch no artifact')
    .option('--sweep', 'look at every index file now, where the upstream is only observed')
    .option('--limit-bytes <n>', 'stop after so many bytes; the next run goes on', wholeNumber)
    .option('--accept-removals <n>', 'let up to N crates or versions be removed', wholeNumber)
    .option('--accept-absent <n>', 'take up to N artifacts as lastingly not there', wholeNumber)
    .option('--accept-changed <crate...>', 'let a published checksum of these crates change')
    .option('--accept-clock', 'go on though the clock is behind what was seen before')
    .addOption(new Option('--reason <text>', 'why; recorded with each --accept option'))
    .action(options => run(async c => (await import('./sync.ts')).syncCommand(c, options))())

  documented(program.command('adopt <dir>'), {
    does: "copy the crates of another tool's directory, so that a sync need not fetch them",
    example:
      'crateferry adopt /srv/panamax/crates --mirror mirror && crateferry sync --mirror mirror',
    exits: [0, 3, 10, 20, 21, 30, 64],
  }).action(dir => run(async c => (await import('./adopt.ts')).adoptCommand(c, dir))())

  documented(program.command('status'), {
    does: 'show what is published, its age and trust, and what waits with which reason',
    example: 'crateferry status --mirror mirror --json',
    exits: [0, 4, 10, 21, 64],
  }).action(run(async c => (await import('./status.ts')).statusCommand(c)))

  documented(program.command('verify [crates...]'), {
    does: 'read the mirror back and name every fault; of crates (CRATE or CRATE@VERSION) only theirs',
    example: 'crateferry verify --mirror mirror --repair',
    exits: [0, 3, 4, 10, 11, 16, 20, 21, 30, 64],
  })
    .option(
      '--proof <file>',
      'of one CRATE@VERSION: write what proves it, for somebody without a mirror',
    )
    .option('--with-proof <file>', 'compare a .crate file with a proof; needs no mirror')
    .option('--root <file>', 'with --with-proof: the root that you trust')
    .option('--index', 'the chain, the tree and the index files, no artifacts')
    .option('--repair', 'fetch what is wrong again, move what does not belong to evidence/')
    .action((crates, options) =>
      run(async c => (await import('./verify.ts')).verifyCommand(c, crates, options))(),
    )

  documented(program.command('prune'), {
    does: 'remove what no kept snapshot, signed tree, path or held crate names',
    example: 'crateferry prune --mirror mirror --dry-run',
    exits: [0, 4, 10, 17, 20, 21, 30, 64],
  })
    .option('--dry-run', 'say what would go, and remove nothing')
    .option('--yes', 'let more than a tenth of the artifacts go')
    .action(options => run(async c => (await import('./prune.ts')).pruneCommand(c, options))())

  documented(program.command('withdraw <versions...>'), {
    does: 'take artifacts (CRATE@VERSION) away for good, whatever the index says, or give them back',
    example: 'crateferry withdraw wicked@1.0.1 --reason "court order 12/345" --mirror mirror',
    exits: [0, 4, 10, 20, 21, 30, 64],
  })
    .requiredOption('--reason <text>', 'why; recorded, shown by status and told to whoever asks')
    .option('--restore', 'give the artifacts their names back')
    .action((versions, options) =>
      run(async c => (await import('./withdraw.ts')).withdrawCommand(c, versions, options))(),
    )

  documented(program.command('serve'), {
    does: 'serve the mirror to cargo and to other mirrors, until it is stopped',
    example: 'crateferry serve --mirror mirror --listen 127.0.0.1:8377',
    exits: [0, 10, 21, 64],
  })
    .option('--listen <address:port>', 'where to listen; else serve.listen of its configuration')
    .action(options => run(async c => (await import('./serve.ts')).serveCommand(c, options))())

  documented(program.command('daemon'), {
    does: 'keep the mirror: sync on schedule, take what arrives, serve, until it is stopped',
    example: 'crateferry daemon --mirror /srv/crateferry',
    exits: [0, 10, 21, 30, 64],
  })
    .option('--listen <address:port>', 'where to listen; else serve.listen of its configuration')
    .action(options => run(async c => (await import('./daemon.ts')).daemonCommand(c, options))())

  documented(program.command('ctl <verb>'), {
    does: 'ask the running daemon: sync-now, pause, resume, reload, runs, status',
    example: 'crateferry ctl sync-now --mirror /srv/crateferry',
    exits: [0, 10, 21, 64],
  }).action(verb => run(async c => (await import('./ctl.ts')).ctlCommand(c, verb))())

  documented(program.command('runs'), {
    does: 'show what ran lately and how it ended, the newest last',
    example: 'crateferry runs --last 100 --json --mirror mirror',
    exits: [0, 10, 21, 64],
  })
    .option('--last <n>', 'so many runs; else 20', wholeNumber)
    .action(options => run(async c => (await import('./runs.ts')).runsCommand(c, options))())

  documented(program.command('doctor'), {
    does: 'look at all that a mirror needs, and let a real cargo fetch from it',
    example: 'crateferry doctor --mirror mirror',
    exits: [0, 3, 4, 10, 15, 16, 20, 21, 64],
  }).action(run(async c => (await import('./doctor.ts')).doctorCommand(c)))

  documented(program.command('cargo-config'), {
    does: "print the config.toml that makes a client's cargo use the mirror",
    example: 'crateferry cargo-config --mirror mirror >> ~/.cargo/config.toml',
    exits: [0, 10, 64],
  })
    .option('--url <url>', "the mirror's URL; else serve.url of its configuration")
    .action(options =>
      run(async c => (await import('./cargo-config.ts')).cargoConfigCommand(c, options))(),
    )

  documented(program.command('upstream <dir>'), {
    does: 'turn a plain directory of crates and index files into a signed static repository',
    example: 'crateferry upstream repository --from plain && ls repository/public',
    exits: [0, 3, 10, 16, 17, 20, 21, 30, 64],
  })
    .requiredOption('--from <dir>', 'the plain directory: index/ and crates/')
    .option('--keys <dir>', 'where the keys are, made on the first run; else DIR.keys')
    .action((dir, options) =>
      run(async c => (await import('./upstream.ts')).upstreamCommand(c, dir, options))(),
    )

  addShellCommands(program, run)
  addSigningCommands(program, run)
  addBundleCommands(program, run)
}
