import { flattened, type Told, type ToldOption } from './command-tree.ts'
import { VERSION } from './context.ts'
import { EXIT_WORDS } from './report.ts'

/** The manual page, in man(7), made of the very commands that are parsed. */
export function manualPage(program: Told): string {
  const commands = flattened(program).filter(({ help }) => help !== undefined)
  return `${[
    `.TH CRATEFERRY 1 "" "crateferry ${VERSION}"`,
    '.SH NAME',
    `crateferry \\- ${text(lowerFirst(program.does))}`,
    '.SH SYNOPSIS',
    '.B crateferry',
    '.RI [ options ]',
    '.I command',
    '.RI [ arguments ]',
    '.SH DESCRIPTION',
    ...DESCRIPTION.map(text),
    '.SH OPTIONS',
    ...program.options.flatMap(optionLines),
    '.SH COMMANDS',
    ...commands.flatMap(commandLines),
    '.SH EXIT STATUS',
    ...EXIT_WORDS.flatMap(([code, words]) => ['.TP', `.B ${code}`, text(words)]),
    '.SH ENVIRONMENT',
    ...ENVIRONMENT.flatMap(([name, what]) => ['.TP', `.B ${name}`, text(what)]),
    '.SH FILES',
    ...FILES.flatMap(([name, what]) => ['.TP', `.I ${text(name)}`, text(what)]),
  ].join('\n')}\n`
}

const DESCRIPTION = [
  'Syncs the signed snapshot, the sparse index and every artifact of a crates registry onto local disk or removable media, through downloads that are resumable, parallel and verified, serves them to cargo, and carries them over a gap in bundles that verify themselves.',
] as const

const ENVIRONMENT = [
  ['CRATEFERRY_MIRROR', 'The mirror, where --mirror is not given.'],
  ['NO_COLOR', 'No colours.'],
  ['TZ', 'Of the hours and days in the configuration.'],
] as const

const FILES = [
  ['MIRROR/crateferry.toml', 'The configuration; each key stands in it with its default.'],
  ['MIRROR/public', 'What a web server may show.'],
  ['MIRROR/state', "The program's own."],
] as const

function commandLines({ path, takes, does, options, help }: Told): string[] {
  return [
    `.SS "${text([...path, ...takes].join(' '))}"`,
    text(`${upperFirst(does)}.`),
    ...options.flatMap(optionLines),
    ...(help === undefined
      ? []
      : ['.PP', '.EX', ...help.example.split('\n').map(line => text(line.trim())), '.EE']),
  ]
}

function optionLines({ flags, does }: ToldOption): string[] {
  return ['.TP', `.B ${text(flags)}`, text(does)]
}

/** A line may begin with a dot, and a hyphen is not the minus that an option is written with. */
function text(plain: string): string {
  const escaped = plain.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('"', '\\(dq')
  return /^['.]/.test(escaped) ? `\\&${escaped}` : escaped
}

const lowerFirst = (words: string): string => words.charAt(0).toLowerCase() + words.slice(1)
const upperFirst = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1)
