import { type Command, Option } from 'commander'
import { duration, size, wholeNumber } from './amounts.ts'
import type { Context } from './context.ts'
import { documented } from './help.ts'

/** `bundle plan | export | verify | import | info`. */
export function addBundleCommands(
  program: Command,
  run: (work: (context: Context) => Promise<number>) => () => Promise<void>,
): void {
  const bundle = program.command('bundle').description('carry a mirror over a gap, on media')
  documented(withWish(bundle.command('plan')), {
    does: 'say what an export would write: volumes, media, bytes, time; writes nothing',
    example: 'crateferry bundle plan --preset dvd --mirror mirror',
    exits: [0, 3, 4, 10, 11, 12, 16, 20, 21, 64],
  }).action(options =>
    run(async c => (await import('./bundle-export.ts')).bundlePlanCommand(c, options))(),
  )

  documented(withWish(bundle.command('export')), {
    does: 'write the published state, or what leads to it from another one, onto media',
    example:
      'crateferry bundle export --to /media/stick --mirror mirror\n  crateferry bundle export --to /media/stick --base receipt:receipt-1234abcd-lab.json',
    exits: [0, 3, 4, 10, 11, 12, 16, 20, 21, 30, 64],
  })
    .requiredOption('--to <dir>', 'the medium: a folder that is there')
    .option('--medium <k>', 'only the bag of this medium; "all": side by side', 'all')
    .option('--again <bundle.json>', 'write volumes of this earlier bundle once more')
    .option('--volumes <list>', 'with --again: which, as crates-00017,crates-00018')
    .option('--no-readback', 'do not read back what was written, and do not say so')
    .option('--dry-run', 'stop before anything is written')
    .action(options =>
      run(async c => (await import('./bundle-export.ts')).bundleExportCommand(c, options))(),
    )

  documented(bundle.command('verify <folders...>'), {
    does: 'read every byte of bags where they lie, with only a root',
    example: 'crateferry bundle verify /media/stick --root 1.root.json',
    exits: [0, 3, 4, 10, 11, 12, 16, 21, 64],
  })
    .option('--root <file>', 'a root you trust; without it only integrity and form are checked')
    .option('--whole', 'every volume of the plan must be there')
    .option('--max-staleness <d>', 'refuse metadata that is longer past its end', duration)
    .action((folders, options) =>
      run(async c =>
        (await import('./bundle-verify.ts')).bundleVerifyCommand(c, folders, options),
      )(),
    )

  documented(bundle.command('info <place>'), {
    does: 'show plan, media and dates of a medium, a bag or a bundle.json; nothing is verified',
    example: 'crateferry bundle info /media/stick',
    exits: [0, 10, 16, 21, 64],
  }).action(place =>
    run(async c => (await import('./bundle-verify.ts')).bundleInfoCommand(c, place))(),
  )

  documented(bundle.command('import [folders...]'), {
    does: 'take what a courier brought: verified from the pinned root down, published whole or not yet',
    example: 'crateferry bundle import /media/stick --mirror mirror',
    exits: [0, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 30, 64],
  })
    .option('--dry-run', 'say what would be taken, and take no artifact')
    .option('--accept-stale-until <date>', 'take metadata past its end until that date')
    .option('--accept-clock', 'go on though the clock is behind what was seen before')
    .option('--accept-absent <n>', 'take exactly N artifacts as gone upstream', wholeNumber)
    .option('--accept-removals <n>', 'let up to N crates or versions be removed', wholeNumber)
    .option('--accept-changed <crate...>', 'let a published checksum of these crates change')
    .option('--reason <text>', 'why; recorded with each --accept option')
    .option('--receipt-to-medium', 'put receipt and want-list into the folders given as well')
    .option('--watch', 'take what arrives in these folders and those of [bundle], until stopped')
    .action((folders, { watch: isWatching, ...options }) =>
      run(async c =>
        isWatching === true
          ? (await import('./bundle-watch.ts')).bundleWatchCommand(c, folders)
          : (await import('./bundle-import.ts')).bundleImportCommand(c, folders, options),
      )(),
    )
}

function withWish(command: Command): Command {
  return command
    .option(
      '--base <state>',
      'what is there already: full (nothing), receipt:FILE, receipt:DIR, targets:N, age:30d',
    )
    .option('--for-want <file>', 'answer the want-list that an import left')
    .addOption(
      new Option('--preset <name>', 'sizes for usb, dvd, bd or diode').choices([
        'usb',
        'dvd',
        'bd',
        'diode',
      ]),
    )
    .option('--volume-size <n>', 'bytes of a volume (KiB, MiB, GiB)', size)
    .option('--medium-size <n>', 'bytes of a medium; else what is free there', size)
    .option('--valid-for <d>', 'how long it must be acceptable on arrival (30d)', duration)
    .option('--receiver-staleness <d>', "what the far side's policy is (45d)", duration)
    .option('--held-as-absent', 'list what held crates lack as absent, instead of stopping')
}
