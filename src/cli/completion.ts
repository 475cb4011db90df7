import { flattened, type Told } from './command-tree.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** What a shell sources so that it completes commands and options; files where nothing else fits. */
export function completionFor(shell: Shell, program: Told): string {
  switch (shell) {
    case 'bash':
      return bash(program)
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(program)}`
    case 'fish':
      return fish(program)
  }
  return shell satisfies never
}

/** Goes through the words typed so far to the command they name, and offers what can follow it. */
function bash(program: Told): string {
  const all = flattened(program)
  const known = all.flatMap(({ path }) => (path.length > 0 ? [`'/${path.join('/')}'`] : []))
  const offers = all.map(told => {
    const words = [
      ...told.commands.map(({ path }) => path.at(-1) ?? ''),
      ...told.options.map(({ long }) => long),
      ...program.options.map(({ long }) => long),
      '--help',
    ]
    const path = told.path.map(word => `/${word}`).join('')
    return `    '${path}') words='${[...new Set(words)].join(' ')}' ;;`
  })
  const valued = new Set(
    all.flatMap(({ options }) => options.filter(one => one.hasValue)).map(({ long }) => long),
  )
  return `# completion of crateferry, made by it
_crateferry() {
  local path='' words='' i
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  case $before in
    ${[...valued].join('|')}) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path/\${COMP_WORDS[i]}" in
      ${known.join('|')}) path="$path/\${COMP_WORDS[i]}" ;;
    esac
  done
  case $path in
${offers.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _crateferry crateferry
`
}

function fish(program: Told): string {
  const lines = flattened(program).flatMap(told => {
    const here = conditionOf(told, program)
    const commands = told.commands.map(({ path, does }) => {
      return `complete -c crateferry -f -n '${here}' -a ${path.at(-1)} -d '${quoted(does)}'`
    })
    // its own options go with every command
    const when = told === program ? '' : ` -n '${here}'`
    const options = told.options.map(({ long, hasValue, does }) => {
      const value = hasValue ? ' -r' : ''
      return `complete -c crateferry${when} -l ${long.slice(2)}${value} -d '${quoted(does)}'`
    })
    return [...commands, ...options]
  })
  return `# completion of crateferry, made by it\n${lines.join('\n')}\n`
}

/** That the words so far lead to this command, and not to one below it. */
function conditionOf({ path, commands }: Told, program: Told): string {
  if (path.length === 0) return '__fish_use_subcommand'
  const seen = path.map(word => `__fish_seen_subcommand_from ${word}`)
  const first = path.length > 1 ? [] : otherParents(path[0] ?? '', program)
  const below = commands.map(one => one.path.at(-1) ?? '')
  const not = [...below, ...first].map(word => `not __fish_seen_subcommand_from ${word}`)
  return [...seen, ...not].join('; and ')
}

/** Commands that have one of the same name below them: `verify` is not `bundle verify`. */
function otherParents(name: string, program: Told): string[] {
  const parents = program.commands.filter(({ commands }) =>
    commands.some(({ path }) => path.at(-1) === name),
  )
  return parents.map(({ path }) => path[0] ?? '')
}

const quoted = (words: string): string => words.replaceAll(/['\\]/g, sign => `\\${sign}`)
