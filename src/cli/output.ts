/**
 * Where a command's words go. With `--json`, stdout carries NDJSON only, one object a line, and people's text goes to stderr;
 * without it, people's text goes to stdout. The progress line lives on stderr and only on a terminal.
 */
import { isAbsolute, relative } from 'node:path'

export interface OutputStream {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
}

export interface OutputOptions {
  json: boolean
  stdout?: OutputStream
  stderr?: OutputStream
  environment?: NodeJS.ProcessEnv
}

const clearLine = '\r\u001b[K'

/** A path as people read it: relative to the working directory where it lies below that. */
export function shownPath(path: string): string {
  const below = relative(process.cwd(), path)
  return below !== '' && !below.startsWith('..') && !isAbsolute(below) ? below : path
}

/** `1234567` → `1.23 M`. */
export function formatCount(value: number): string {
  for (const [unit, factor] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= factor) return `${(value / factor).toPrecision(3)} ${unit}`
  }
  return String(Math.round(value))
}

/** Bytes in KiB, MiB or GiB. */
export function formatBytes(bytes: number): string {
  for (const [unit, power] of [
    ['GiB', 30],
    ['MiB', 20],
    ['KiB', 10],
  ] as const) {
    if (bytes >= 2 ** power) return `${(bytes / 2 ** power).toFixed(1)} ${unit}`
  }
  return `${bytes} B`
}

/** Seconds as `45s` or `3m05s`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  return whole < 60 ? `${whole}s` : `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`
}

/** Rows of cells as aligned columns; the first column to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '))
    .map((line) => line.trimEnd())
    .join('\n')
}

export class Output {
  readonly json: boolean
  /** True where a progress line is shown. */
  readonly progressShown: boolean
  readonly #stdout: OutputStream
  readonly #stderr: OutputStream
  readonly #color: boolean
  #lineShown = false
  #lastDrawn = 0

  constructor(options: OutputOptions) {
    const environment = options.environment ?? process.env
    this.json = options.json
    this.#stdout = options.stdout ?? process.stdout
    this.#stderr = options.stderr ?? process.stderr
    const continuousIntegration = environment.CI !== undefined && environment.CI !== '' && environment.CI !== 'false'
    this.progressShown = this.#stderr.isTTY === true && !continuousIntegration && environment.TERM !== 'dumb'
    this.#color = this.progressShown && !environment.NO_COLOR
  }

  #erase(): void {
    if (this.#lineShown) this.#stderr.write(clearLine)
    this.#lineShown = false
  }

  /** A line for people. */
  text(line = ''): void {
    this.#erase()
    ;(this.json ? this.#stderr : this.#stdout).write(`${line}\n`)
  }

  /** A line for people that is no part of what was asked for: always on stderr. */
  note(line: string): void {
    this.#erase()
    this.#stderr.write(`${line}\n`)
  }

  /** Text without a line end, such as generated pieces. */
  piece(text: string): void {
    this.#erase()
    ;(this.json ? this.#stderr : this.#stdout).write(text)
  }

  /** One machine-readable line; nothing without `--json`. */
  event(value: Readonly<Record<string, unknown>>): void {
    if (!this.json) return
    this.#erase()
    this.#stdout.write(`${JSON.stringify(value)}\n`)
  }

  /** Redraws the progress line, at most ten times a second. */
  progress(line: string): void {
    if (!this.progressShown) return
    const now = performance.now()
    if (this.#lineShown && now - this.#lastDrawn < 100) return
    this.#lastDrawn = now
    const fitting = line.slice(0, (this.#stderr.columns ?? 80) - 1)
    this.#stderr.write(clearLine + (this.#color ? `\u001b[36m${fitting}\u001b[0m` : fitting))
    this.#lineShown = true
  }

  /** Takes the progress line away. */
  endProgress(): void {
    this.#erase()
  }
}

/** Progress of a run with a known number of steps: loss, tokens/s and time left. */
export class ProgressLine {
  readonly #output: Output
  readonly #label: string
  readonly #total: number
  readonly #started = performance.now()
  #first: number | undefined

  constructor(output: Output, label: string, total: number) {
    this.#output = output
    this.#label = label
    this.#total = total
  }

  update(step: number, loss?: number, tokensPerSecond?: number): void {
    this.#first ??= step - 1
    const elapsed = (performance.now() - this.#started) / 1000
    const done = step - this.#first
    const left = done > 0 ? (elapsed / done) * (this.#total - step) : Number.NaN
    const parts = [`${this.#label} ${step}/${this.#total}`]
    if (loss !== undefined) parts.push(`loss ${loss.toFixed(4)}`)
    if (tokensPerSecond !== undefined) parts.push(`${formatCount(tokensPerSecond)} tokens/s`)
    if (Number.isFinite(left)) parts.push(`${formatSeconds(left)} left`)
    this.#output.progress(parts.join(' · '))
  }

  end(): void {
    this.#output.endProgress()
  }
}
