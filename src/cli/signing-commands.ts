import type { Command } from 'commander'
import { wholeNumber } from './amounts.ts'
import type { Context } from './context.ts'
import { documented } from './help.ts'

type Run = (work: (context: Context) => Promise<number>) => () => Promise<void>

/** `key …`, `root …`, `trust reset`, `sign`: who signs, and what is believed. */
export function addSigningCommands(program: Command, run: Run): void {
  addKeyCommands(program, run)
  addRootCommands(program, run)

  const trust = program.command('trust').description('what this mirror believes')
  documented(trust.command('reset'), {
    does: 'forget accepted versions and clock, and begin again at the pinned root',
    example:
      'crateferry trust reset --fingerprint 9aa1c62f… --reason "clock was in 2036" --mirror mirror',
    exits: [0, 4, 10, 20, 21, 30, 64],
  })
    .requiredOption('--fingerprint <hex>', 'SHA-256 of the pinned root, as status shows it')
    .requiredOption('--reason <text>', 'why; recorded and shown by status')
    .action(options =>
      run(async c => (await import('./trust-reset.ts')).trustResetCommand(c, options))(),
    )

  documented(program.command('sign'), {
    does: "sign the published tree with the site's own keys, into public/site",
    example: 'crateferry sign --mirror mirror --root 1.root.json',
    exits: [0, 3, 4, 10, 11, 12, 16, 20, 21, 30, 64],
  })
    .option('--root <file>', "the site's first root, or the one that follows the one it has")
    .action(options => run(async c => (await import('./sign.ts')).signCommand(c, options))())
}

function addKeyCommands(program: Command, run: Run): void {
  const key = program
    .command('key')
    .description('make a signing key, or show what is public of one')
  documented(withPassphrase(key.command('new <file>')), {
    does: 'make a key, sealed by a passphrase, in a new file that only its owner can read',
    example: 'crateferry key new alice.key --owner alice',
    exits: [0, 20, 21, 64],
  })
    .option('--owner <name>', 'whose key it is; people see it beside the key id')
    .option('--insecure-plaintext', 'no passphrase: whoever reads the file can sign')
    .action((file, options) =>
      run(async c => (await import('./key.ts')).keyNewCommand(c, file, options))(),
    )
  documented(key.command('show <file>'), {
    does: 'print key id and public key, of a key file, a public half, or a public key in PEM',
    example: 'crateferry --json key show smartcard.pem > smartcard.pub.json',
    exits: [0, 16, 64],
  }).action(file => run(async c => (await import('./key.ts')).keyShowCommand(c, file))())
}

function addRootCommands(program: Command, run: Run): void {
  const root = program.command('root').description('make the root that others pin')
  documented(withPassphrase(root.command('new <out>')), {
    does: 'make and sign a first root, with all its root keys at hand',
    example:
      'crateferry root new 1.root.json --key alice.key --key bob.key --key carol.key \\\n' +
      '    --threshold 2 --targets t.pub.json --snapshot s.pub.json --timestamp ts.pub.json',
    exits: [0, 16, 20, 21, 64],
  })
    .requiredOption('--key <file>', 'a root key; once for each of them', collected)
    .requiredOption('--threshold <m>', 'how many of them must sign the next root', wholeNumber)
    .requiredOption('--targets <file>', 'the key that names the tree: its key file or public half')
    .requiredOption('--snapshot <file>', 'the key for snapshot.json')
    .requiredOption('--timestamp <file>', 'the key for timestamp.json')
    .action((out, options) =>
      run(async c => (await import('./root.ts')).rootNewCommand(c, out, options))(),
    )

  documented(root.command('draft'), {
    does: 'write the next root, or a first one, for its members to review and sign',
    example:
      'crateferry root draft --from 5.root.json --remove-root 9aa1c62f --add-root dave.pub.json \\\n' +
      '    --out 6.root.draft.json',
    exits: [0, 11, 16, 20, 21, 64],
  })
    .option('--new', 'a first root')
    .option('--from <file>', 'the root before')
    .option('--add-root <file>', 'the public half of a new member; once for each', collected)
    .option('--remove-root <keyid>', 'a member who goes; once for each', collected)
    .option('--threshold <m>', 'how many members must sign; else as before', wholeNumber)
    .option(
      '--online <role=file>',
      'who signs targets, snapshot or timestamp from now on',
      collected,
    )
    .option('--expires <days>', 'how long it is good for, in days', wholeNumber, 365)
    .requiredOption('--out <file>', 'the draft, a new file')
    .action(options =>
      run(async c => (await import('./root-draft.ts')).rootDraftCommand(c, options))(),
    )

  const prev = ['--prev <file>', 'the root before; a first root has none'] as const
  documented(root.command('review <draft>').option(...prev), {
    does: 'say in words what a draft changes, and a digest to compare by voice',
    example: 'crateferry root review 6.root.draft.json --prev 5.root.json',
    exits: [0, 11, 16, 64],
  }).action((draft, options) =>
    run(async c => (await import('./root-review.ts')).rootReviewCommand(c, draft, options))(),
  )

  documented(withPassphrase(root.command('sign <draft>').option(...prev)), {
    does: "write one member's signature of a draft, a small file",
    example: 'crateferry root sign 6.root.draft.json --prev 5.root.json --key alice.key',
    exits: [0, 11, 16, 20, 21, 64],
  })
    .requiredOption('--key <key>', 'a key file, or exec:COMMAND for a program that signs')
    .option('--out <file>', 'where; else N.root.KEYID.sig.json')
    .option('--accept-single', 'sign though one key alone could sign the next root')
    .action((draft, options) =>
      run(async c => (await import('./root-sign.ts')).rootSignCommand(c, draft, options))(),
    )

  documented(root.command('merge <draft>').option(...prev), {
    does: 'put a draft and its signatures together, once enough of old and new have signed',
    example:
      'crateferry root merge 6.root.draft.json --prev 5.root.json --sig a.sig.json --sig b.sig.json \\\n' +
      '    --out 6.root.json',
    exits: [0, 11, 16, 20, 21, 64],
  })
    .requiredOption('--sig <file...>', 'the signatures')
    .requiredOption('--out <file>', 'the root, a new file')
    .action((draft, options) =>
      run(async c => (await import('./root-merge.ts')).rootMergeCommand(c, draft, options))(),
    )

  documented(root.command('show <root>').option(...prev), {
    does: 'say what a root says and who signed it, verified',
    example: 'crateferry root show 6.root.json --prev 5.root.json',
    exits: [0, 11, 16, 64],
  }).action((file, options) =>
    run(async c => (await import('./root-show.ts')).rootShowCommand(c, file, options))(),
  )
}

function withPassphrase(command: Command): Command {
  return command
    .option('--passphrase-file <file>', 'the passphrase is its first line')
    .option('--passphrase-fd <n>', 'the passphrase comes from this descriptor', wholeNumber)
}

function collected(one: string, before: readonly string[] = []): readonly string[] {
  return [...before, one]
}
