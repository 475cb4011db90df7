import type { Command, Option } from 'commander'
import { type Help, helpOf } from './help.ts'

/** A command as manual and completion tell of it. */
export interface Told {
  /** The words that lead to it, without the program's own name. */
  readonly path: readonly string[]
  readonly does: string
  /** `<dir>`, `[crates...]` */
  readonly takes: readonly string[]
  readonly options: readonly ToldOption[]
  /** Undefined of one that only has commands below it. */
  readonly help: Help | undefined
  readonly commands: readonly Told[]
}

export interface ToldOption {
  /** `--limit-bytes <n>` */
  readonly flags: string
  readonly long: string
  readonly hasValue: boolean
  readonly does: string
}

export function toldOf(command: Command, path: readonly string[] = []): Told {
  return {
    path,
    does: command.description(),
    takes: command.registeredArguments.map(one => {
      const name = `${one.name()}${one.variadic ? '...' : ''}`
      return one.required ? `<${name}>` : `[${name}]`
    }),
    options: command.options.filter(({ hidden }) => !hidden).map(optionOf),
    help: helpOf(command),
    commands: command.commands.map(one => toldOf(one, [...path, one.name()])),
  }
}

function optionOf({ flags, long, description, required, optional }: Option): ToldOption {
  return { flags, long: long ?? '', hasValue: required || optional, does: description }
}

/** It and all below it, in the order in which help lists them. */
export function flattened(told: Told): readonly Told[] {
  return [told, ...told.commands.flatMap(flattened)]
}
