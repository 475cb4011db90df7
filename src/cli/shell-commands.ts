import { Argument, type Command } from 'commander'
import { toldOf } from './command-tree.ts'
import { completionFor, SHELLS, type Shell } from './completion.ts'
import type { Context } from './context.ts'
import { documented } from './help.ts'
import { manualPage } from './man.ts'

/** What the system is given of the commands themselves. */
export function addShellCommands(
  program: Command,
  run: (work: (context: Context) => Promise<number>) => () => Promise<void>,
): void {
  const printed = (text: () => string): (() => Promise<void>) =>
    run(async ({ out }) => {
      out.result({ text: text() }, [text().trimEnd()])
      return 0
    })
  documented(program.command('man'), {
    does: 'print the manual page',
    example: 'crateferry man > /usr/local/share/man/man1/crateferry.1',
    exits: [0],
  }).action(printed(() => manualPage(toldOf(program))))
  documented(program.command('completion'), {
    does: 'print what a shell sources to complete commands and options',
    example: 'crateferry completion bash > /etc/bash_completion.d/crateferry',
    exits: [0, 64],
  })
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action((shell: Shell) => printed(() => completionFor(shell, toldOf(program)))())
}
