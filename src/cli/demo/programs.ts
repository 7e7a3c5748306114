/** Other processes of this command line, and the events that they write. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, FedloraError } from '../../errors.js'

const main = fileURLToPath(new URL('../main.js', import.meta.url))
/** Characters of what a process says to people that are kept for its error. */
const mostKept = 2000

export type ProgramEvent = Readonly<Record<string, unknown>> & { type: string }

/** `fedlora … --json` as a process: its events, one after the other, and its end. */
export class Program {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  #said = ''
  #error: { code: ErrorCode; message: string } | undefined

  /** @param name - what messages call it. */
  constructor(name: string, words: readonly string[]) {
    this.#name = name
    this.#child = spawn(process.execPath, [main, ...words, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-mostKept)
    })
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('close', (code, signal) => {
        if (code === 0) return resolve()
        const said = this.#error?.message ?? this.#said.trim()
        const message = `${name} ended with ${signal ?? `exit code ${code}`}: ${said}`
        reject(new FedloraError(this.#error?.code ?? 'E_INTERNAL', message, { program: name }))
      })
    })
    this.#ended.catch(() => {}) // whoever waits for the end hears of it
  }

  /** What it writes, until it ends. @throws FedloraError what it failed with. */
  async *events(): AsyncGenerator<ProgramEvent> {
    for await (const line of createInterface({ input: this.#child.stdout! })) {
      const event = JSON.parse(line) as ProgramEvent
      if (event.type === 'error') this.#error = event as unknown as { code: ErrorCode; message: string }
      yield event
    }
    await this.#ended
  }

  /** The first event of a type. @throws FedloraError when it ends without one. */
  async first(type: string): Promise<ProgramEvent> {
    for await (const event of this.events()) if (event.type === type) return event
    throw new FedloraError('E_INTERNAL', `${this.#name} ended without an event ${type}`, { program: this.#name })
  }

  /** Asks it to stop, as a shell would. */
  stop(): void {
    if (this.#child.exitCode === null) this.#child.kill('SIGTERM')
  }
}
