/** Reads a command's flags. Unknown flags, missing values and stray words are refused, naming the nearest flag. */
import { parseArgs } from 'node:util'
import { closest } from '../options/parse.js'
import { UsageError } from './usage.js'

export interface Flag {
  type: 'string' | 'number' | 'boolean'
  /** What stands for the value in the help, such as DIR. */
  value?: string
  description: string
  required?: boolean
  multiple?: boolean
  /** The value may be left out: it is then the empty text. */
  optional?: boolean
  /** Allowed words. */
  choices?: readonly string[]
  default?: string | number | boolean
}

export type Flags = Record<string, Flag>

/** One word that may stand without a --flag, such as what to measure. */
export interface Word {
  name: string
  description: string
  /** Without: any word. */
  choices?: readonly string[]
  required?: boolean
}

export type FlagValue = string | number | boolean | string[] | undefined
export type FlagValues = Record<string, FlagValue>

/** `; did you mean "…"?` or nothing. */
export function suggestion(word: string, known: readonly string[], prefix = ''): string {
  const near = closest(word, known)
  return near === undefined ? '' : `; did you mean "${prefix}${near}"?`
}

function convert(name: string, flag: Flag, text: string): string | number {
  if (flag.choices && !flag.choices.includes(text)) {
    throw new UsageError(
      `--${name}: got "${text}", expected one of ${flag.choices.join(', ')}${suggestion(text, flag.choices)}`,
      { flag: name },
    )
  }
  if (flag.type !== 'number') return text
  const number = text.trim() === '' ? Number.NaN : Number(text)
  if (!Number.isFinite(number)) throw new UsageError(`--${name}: got "${text}", expected a number`, { flag: name })
  return number
}

const dotted = /^--([\w$-]+\.[\w.$-]+)(=.*)?$/s

/** Flags whose value is left out get one: the empty text, or `true` for a field of the config. */
function completed(words: readonly string[], flags: Flags): string[] {
  return words.map((word, i) => {
    const alone = words[i + 1] === undefined || words[i + 1]!.startsWith('--')
    if (!alone || word.includes('=')) return word
    if (flags.set && dotted.test(word)) return `${word}=true`
    return flags[word.replace(/^--/, '')]?.optional && word.startsWith('--') ? `${word}=` : word
  })
}

/**
 * The values of `flags` in `words`; `command` is for the messages. Required flags are checked unless help is asked for. Where there is a
 * flag --set, fields of the config file are flags too (`--train.epochs 2`), and become values of it.
 */
export function readFlags(
  command: string,
  words: readonly string[],
  flags: Flags,
  ...expected: readonly Word[]
): FlagValues {
  const names = Object.keys(flags)
  const args = completed(words, flags)
  const fields = flags.set ? args.flatMap((word) => dotted.exec(word)?.[1] ?? []) : []
  const waiting = [...expected]
  const { tokens } = parseArgs({
    args,
    options: Object.fromEntries(
      [...names, ...fields].map((name) => [
        name,
        { type: flags[name]?.type === 'boolean' ? ('boolean' as const) : ('string' as const), multiple: true },
      ]),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const values: FlagValues = {}
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    const word = token.kind === 'positional' ? waiting.shift() : undefined
    if (token.kind === 'positional' && word !== undefined) {
      if (word.choices !== undefined && !word.choices.includes(token.value)) {
        throw new UsageError(
          `fedlora ${command}: unknown ${word.name} "${token.value}"${suggestion(token.value, word.choices)}; known: ${word.choices.join(', ')}`,
        )
      }
      values[word.name] = token.value
      continue
    }
    if (token.kind === 'positional') {
      throw new UsageError(`fedlora ${command}: "${token.value}" is not a flag; every value follows its --flag`)
    }
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    if (flag === undefined && fields.includes(token.name) && token.value !== undefined) {
      values.set = [...((values.set as string[] | undefined) ?? []), `${token.name}=${token.value}`]
      continue
    }
    if (!flag) {
      throw new UsageError(
        `fedlora ${command}: unknown flag ${token.rawName}${suggestion(token.name, names, '--')}; see fedlora ${command} --help`,
        { flag: token.name },
      )
    }
    if (flag.type === 'boolean') {
      if (token.value !== undefined) throw new UsageError(`--${token.name} takes no value, got "${token.value}"`)
      values[token.name] = true
      continue
    }
    if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--'))) {
      throw new UsageError(`--${token.name} needs a value (${flag.value ?? flag.type})`, { flag: token.name })
    }
    const value = convert(token.name, flag, token.value)
    if (flag.multiple) values[token.name] = [...((values[token.name] as string[] | undefined) ?? []), String(value)]
    else if (values[token.name] !== undefined) throw new UsageError(`--${token.name} is given twice`)
    else values[token.name] = value
  }
  for (const name of names) values[name] ??= flags[name]!.default
  if (values.help) return values
  for (const { name, choices, required } of waiting) {
    if (!required) continue
    const which = choices === undefined ? '' : `, one of ${choices.join(', ')}`
    throw new UsageError(`fedlora ${command}: ${name} is missing${which}`)
  }
  for (const name of names) {
    if (flags[name]!.required && values[name] === undefined) {
      throw new UsageError(`fedlora ${command}: --${name} ${flags[name]!.value ?? ''} is required`, { flag: name })
    }
  }
  return values
}
