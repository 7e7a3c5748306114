/** What a command is: its flags, the sections of its config file, and what it does. Each command is one such record. */
import type { z } from 'zod'
import { isFedloraError } from '../errors.js'
import { parseOptions } from '../options/parse.js'
import { type Flags, type FlagValues, suggestion, type Word } from './arguments.js'
import { type ConfigFile, type Locate, readConfigFile } from './config-file.js'
import type { Output } from './output.js'
import { asConfig, overlay, readOverrides } from './overrides.js'
import { UsageError } from './usage.js'

export type Config = Readonly<Record<string, unknown>>

export interface Context {
  flags: FlagValues
  /** Sections of the config file as written, flags of their fields laid over; each command parses them with its schemas. */
  config: Config
  output: Output
  /** Aborted by SIGINT or SIGTERM. */
  signal: AbortSignal
  /** Runs work that leaves something behind when it is stopped: a signal then waits for it, where it would otherwise end the process. */
  holding<R>(work: () => Promise<R>): Promise<R>
}

export interface Command {
  name: string
  flags: Flags
  words?: readonly Word[]
  /** SIGINT is the command's own affair: it does not end it after a checkpoint. A result of `interrupted` true exits with 130. */
  ownsInterrupt?: true
  /** Loaded when needed, so that a command opens only the rooms that it uses. */
  sections?: () => Promise<Readonly<Record<string, z.ZodType>>>
  /** Sections that a shared config file may hold for other commands. */
  ignoredSections?: readonly string[]
  /** The config below the config file: what a run folder remembers of the run to go on with. */
  remembered?(flags: FlagValues): Promise<ConfigFile | undefined>
  /** The fields of the last `--json` line. */
  run(context: Context): Promise<Record<string, unknown>>
}

/** Flags that every command has. */
export const commonFlags: Flags = {
  json: {
    type: 'boolean',
    description: 'NDJSON on stdout, the last line {"type":"result",…}; text for people on stderr',
  },
  help: { type: 'boolean', description: 'print this' },
}

export const configFlag: Flags = {
  config: { type: 'string', value: 'FILE', description: 'config file, YAML or JSON, see below' },
  set: {
    type: 'string',
    value: 'SECTION.FIELD=VALUE',
    description: 'a field of the config file (may be repeated); --SECTION.FIELD VALUE is the same',
    multiple: true,
  },
}

/** A flag's text, or undefined. */
export function text(flags: FlagValues, name: string): string | undefined {
  return flags[name] as string | undefined
}

/** Where the values of a config stand, for messages. */
const places = new WeakMap<Config, Locate>()

function checkSections(command: Command, file: ConfigFile, path: string, known: readonly string[]): void {
  for (const key of Object.keys(file.value)) {
    if (known.includes(key)) continue
    throw new UsageError(
      `${file.locate([key]) ?? path}: unknown section "${key}"${suggestion(key, known)}; ` +
        `fedlora ${command.name} knows ${known.join(', ')}`,
      { path, section: key },
      'E_CONFIG',
    )
  }
}

/** The config of a command: what a run folder remembers, below `--config`, below flags of single fields. Unknown sections are refused. */
export async function readConfig(command: Command, flags: FlagValues): Promise<Config> {
  const sections = (await command.sections?.()) ?? {}
  const known = [...Object.keys(sections), ...(command.ignoredSections ?? [])]
  const path = text(flags, 'config')
  const remembered = await command.remembered?.(flags)
  const file = path === undefined ? undefined : await readConfigFile(path)
  if (file !== undefined) {
    delete file.value.$schema
    checkSections(command, file, path!, known)
  }
  const overrides = readOverrides((flags.set as string[] | undefined) ?? [], command.name, sections)
  const layers = [remembered?.value ?? {}, file?.value ?? {}, asConfig(overrides)]
  const config = layers.reduce((lower, upper) => overlay(lower, upper))
  places.set(config, (keys) => {
    const set = overrides.find((override) => override.path.every((part, i) => String(keys[i]) === part))
    if (set !== undefined) return `--${set.path.join('.')}`
    return (file && isThere(file.value, keys) ? file.locate(keys) : undefined) ?? remembered?.locate(keys)
  })
  return config
}

function isThere(value: unknown, keys: readonly PropertyKey[]): boolean {
  const [section, field] = keys
  const below = (value as Config)[String(section)]
  return field === undefined ? below !== undefined : (below as Config | undefined)?.[String(field)] !== undefined
}

/** One section with flags laid over it, parsed; a mistake in it is a usage error that names its place. */
export function section<S extends z.ZodType>(
  schema: S,
  name: string,
  config: Config,
  overrides: Config = {},
): z.output<S> {
  const written = config[name] ?? {}
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined))
  const value = typeof written === 'object' && !Array.isArray(written) ? { ...written, ...given } : written
  try {
    return parseOptions(schema, value, name)
  } catch (error) {
    const locate = places.get(config)
    if (!isFedloraError(error) || locate === undefined) throw asUsageError(error)
    const { problems, paths } = error.details as { problems: string[]; paths: PropertyKey[][] }
    const placed = problems.map((problem, i) => {
      const place = Object.hasOwn(given, paths[i]![0] ?? '') ? undefined : locate([name, ...paths[i]!])
      return `${place === undefined ? '' : `${place}: `}${name}: ${problem}`
    })
    throw new UsageError(placed.join('; '), { section: name, problems }, 'E_CONFIG', error)
  }
}

/** Parses every section that is there, so that a mistake shows before any work, also in one that would be looked at late or never. */
export async function checkConfig(command: Command, config: Config): Promise<void> {
  for (const [name, schema] of Object.entries((await command.sections?.()) ?? {})) {
    if (config[name] !== undefined) section(schema, name, config)
  }
}

function asUsageError(error: unknown): unknown {
  if (!isFedloraError(error) || error instanceof UsageError) return error
  return new UsageError(error.message, error.details, error.code, error)
}

/** Runs a check of what was asked for: its refusals are usage errors. */
export async function usage<R>(check: () => R | Promise<R>): Promise<R> {
  try {
    return await check()
  } catch (error) {
    throw asUsageError(error)
  }
}
