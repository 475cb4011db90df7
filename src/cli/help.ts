import type { Command } from 'commander'
import { EXIT_WORDS } from './report.ts'

/** Every command's help has an example and its exit codes. */
export function documented(
  command: Command,
  help: { readonly does: string; readonly example: string; readonly exits: readonly number[] },
): Command {
  return command
    .description(help.does)
    .addHelpText('after', `\nExample:\n  ${help.example}\n\n${exitCodesText(help.exits)}`)
}

export function exitCodesText(codes: readonly number[]): string {
  const lines = EXIT_WORDS.filter(([code]) => code === 1 || codes.includes(code))
  return `Exit codes:\n${lines.map(([code, words]) => `  ${String(code).padStart(2)}  ${words}`).join('\n')}`
}
