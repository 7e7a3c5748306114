/** The lines of a chat: typed at a terminal, where Ctrl-C and Ctrl-D mean something, or piped in. */
import { createInterface, type Interface } from 'node:readline'

export interface LineOptions {
  /** A person types: there is a prompt, and the line can be edited. */
  terminal: boolean
  /** Where the prompt is shown. */
  output: NodeJS.WritableStream
  /** Ctrl-C, or SIGINT. */
  onInterrupt: () => void
}

export class Lines {
  readonly #interface: Interface
  readonly #options: LineOptions
  readonly #waiting: string[] = []
  #closed = false
  #wake: (() => void) | undefined

  constructor(options: LineOptions) {
    const { terminal, output, onInterrupt } = options
    this.#options = options
    this.#interface = createInterface({ input: process.stdin, ...(terminal && { output }), terminal, prompt: '> ' })
    this.#interface.on('line', (line) => {
      this.#waiting.push(line)
      this.#wake?.()
    })
    this.#interface.on('close', () => {
      this.#closed = true
      this.#wake?.()
    })
    if (terminal) this.#interface.on('SIGINT', onInterrupt) // the terminal is raw: Ctrl-C is a key
    process.on('SIGINT', onInterrupt)
  }

  /** The next line, or null at the end. */
  async next(): Promise<string | null> {
    if (this.#options.terminal && !this.#closed) this.#interface.prompt()
    while (this.#waiting.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#waiting.shift() ?? null
  }

  /** Shows the prompt again. */
  prompt(): void {
    this.#interface.prompt()
  }

  /** What has been typed of a line that is not ended; it is taken away. */
  clear(): string {
    const typed = this.#interface.line
    if (this.#options.terminal && typed !== '') this.#interface.write(null, { ctrl: true, name: 'u' })
    return typed
  }

  /** Ends the input; lines that wait are dropped. */
  close(): void {
    process.off('SIGINT', this.#options.onInterrupt)
    this.#waiting.length = 0
    this.#interface.close()
  }
}
