import type { Command } from 'commander'
import { EXIT_WORDS } from './report.ts'

/** What every command tells of itself. */
export interface Help {
  readonly does: string
  readonly example: string
  readonly exits: readonly number[]
}

const helps = new WeakMap<Command, Help>()

/** Every command's help has an example and its exit codes. */
export function documented(command: Command, help: Help): Command {
  helps.set(command, help)
  return command
    .description(help.does)
    .addHelpText('after', `\nExample:\n  ${help.example}\n\n${exitCodesText(help.exits)}`)
}

export function helpOf(command: Command): Help | undefined {
  return helps.get(command)
}

export function exitCodesText(codes: readonly number[]): string {
  const lines = EXIT_WORDS.filter(([code]) => code === 1 || codes.includes(code))
  return `Exit codes:\n${lines.map(([code, words]) => `  ${String(code).padStart(2)}  ${words}`).join('\n')}`
}
