/** Finds the command, reads its flags and config, runs it, and turns what happens into an exit code. */
import { isFedloraError } from '../errors.js'
import { removeTemporaries } from '../files/atomic.js'
import { packageVersion } from '../files/package.js'
import { type Flags, readFlags, suggestion } from './arguments.js'
import { type Command, checkConfig, commonFlags, readConfig } from './command.js'
import { commandHelp } from './help.js'
import { Output } from './output.js'
import { type StopSignal, signalExitCodes, watchSignals } from './signals.js'
import { lostOutput, onLostOutput } from './streams.js'
import { UsageError } from './usage.js'

const exitCodes = { ok: 0, failure: 1, usage: 2 } as const

/** Commands by name, each loaded only when it is asked for. */
export type CommandTable = Readonly<Record<string, { summary: string; load: () => Promise<Command> }>>

function overview(commands: CommandTable): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length))
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
  return `fedlora: fine-tune quantised language models with LoRA, alone or as a federation\n\nUsage: fedlora COMMAND [--flags]\n\n${lines.join('\n')}\n\nfedlora COMMAND --help tells more; fedlora --version prints the version.\n`
}

/** `E_CODE: message`; an error of no code shows its name, and its stack when FEDLORA_DEBUG is set. */
export function describeError(error: unknown): string {
  const shown = isFedloraError(error) ? `${error.code}: ${error.message}` : `E_INTERNAL: ${String(error)}`
  return process.env.FEDLORA_DEBUG && error instanceof Error ? `${shown}\n${error.stack}` : shown
}

function errorLine(error: unknown): Record<string, unknown> {
  if (!isFedloraError(error))
    return { type: 'error', code: 'E_INTERNAL', message: (error as Error)?.message ?? String(error) }
  const { code, message, details } = error.toJSON()
  return { type: 'error', code, message, details }
}

async function runCommand(command: Command, summary: string, words: readonly string[], json: boolean): Promise<number> {
  const output = new Output({ json })
  const handlers = {
    onStop: (name: StopSignal) => output.note(`${name}: stopping after a checkpoint; once more ends at once`),
    onEnd(name: StopSignal) {
      output.endProgress()
      output.note(`stopped by ${name}`)
      removeTemporaries()
      process.exit(signalExitCodes[name])
    },
  }
  const watch = watchSignals(handlers, command.ownsInterrupt ? ['SIGTERM'] : undefined)
  const holding = async <R>(work: () => Promise<R>): Promise<R> => {
    watch.holding = true
    onLostOutput(() => watch.stop())
    try {
      return await work()
    } finally {
      watch.holding = false
      onLostOutput(undefined)
    }
  }
  const flags: Flags = { ...command.flags, ...commonFlags }
  try {
    const values = readFlags(command.name, words, flags, ...(command.words ?? []))
    if (values.help) {
      process.stdout.write(commandHelp(command, summary, flags, (await command.sections?.()) ?? {}))
      return exitCodes.ok
    }
    const config = await readConfig(command, values)
    await checkConfig(command, config)
    const result = await command.run({ flags: values, config, output, signal: watch.signal, holding })
    output.endProgress()
    if (watch.received !== undefined) return signalExitCodes[watch.received]
    output.event({ type: 'result', ...result })
    if (result.interrupted === true) return signalExitCodes.SIGINT
    return lostOutput() ?? exitCodes.ok
  } catch (error) {
    output.endProgress()
    if (watch.received !== undefined && !isFedloraError(error)) {
      output.note(`stopped by ${watch.received}`)
      return signalExitCodes[watch.received]
    }
    const lost = lostOutput()
    if (lost !== undefined && !isFedloraError(error)) return lost
    output.event(errorLine(error))
    output.note(describeError(error))
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failure
  } finally {
    watch.dispose()
  }
}

/** Runs `words` (the command line after `fedlora`) and returns the exit code. */
export async function runCli(words: readonly string[], commands: CommandTable): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    ;(name === undefined ? process.stderr : process.stdout).write(overview(commands))
    return name === undefined ? exitCodes.usage : exitCodes.ok
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${packageVersion()}\n`)
    return exitCodes.ok
  }
  const found = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!found) {
    const known = Object.keys(commands)
    process.stderr.write(
      `E_ARGUMENT: unknown command "${name}"${suggestion(name, known)}; known: ${known.join(', ')}\n`,
    )
    return exitCodes.usage
  }
  return runCommand(await found.load(), found.summary, rest, rest.includes('--json'))
}
