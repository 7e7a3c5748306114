/**
 * Where a command's words go. With `--json`, stdout carries NDJSON only, one object a line, and people's text goes to stderr;
 * without it, people's text goes to stdout. Progress is on stderr: a line that is redrawn on a terminal, elsewhere a line every ten
 * seconds (FEDLORA_PROGRESS_SECONDS).
 */
import { formatCount, formatSeconds } from './words.js'

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

/** How far a command is, for the progress line. */
export interface Status {
  /** What is being done: `step 5/10`, `loading model`. */
  label: string
  /** Seconds left. */
  left?: number
  /** More, the most important first. */
  details?: readonly string[]
  /** The same for machines. */
  event?: Readonly<Record<string, unknown>>
}

/** A status in `columns` characters: what does not fit is left out from the end, the time left last. */
export function fitStatus({ label, left, details = [] }: Status, columns = Number.POSITIVE_INFINITY): string {
  const time = left === undefined || !Number.isFinite(left) ? [] : [`${formatSeconds(left)} left`]
  for (let kept = details.length; kept >= 0; kept--) {
    const line = [label, ...details.slice(0, kept), ...time].join(' · ')
    if (line.length <= columns) return line
  }
  return [...time, label].join(' · ').slice(0, Math.max(0, columns))
}

/** A phase of a run or of reading, as the API tells it. */
export interface Measured {
  phase: 'reading' | 'checking' | 'tokenizing' | 'evaluating'
  done: number
  total: number | null
  remaining?: number | null
}

const phases: Readonly<Record<Measured['phase'], string>> = {
  reading: 'reading data',
  checking: 'checking the cache of tokens',
  tokenizing: 'tokenising',
  evaluating: 'evaluating',
}

function measuredStatus({ phase, done, total, remaining }: Measured): Status {
  const share = total === null ? `${formatCount(done)}` : `${Math.floor((100 * done) / Math.max(1, total))} %`
  const left = remaining === null || remaining === undefined ? {} : { left: remaining }
  return { label: `${phases[phase]} ${share}`, ...left, event: { phase, done, total, ...left } }
}

const clearLine = '\r\u001b[K'

export class Output {
  readonly json: boolean
  /** True where a progress line is shown. */
  readonly progressShown: boolean
  readonly #stdout: OutputStream
  readonly #stderr: OutputStream
  readonly #color: boolean
  readonly #every: number
  #lineShown = false
  #lastDrawn = Number.NEGATIVE_INFINITY
  #status: Status | undefined
  #since = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: OutputOptions) {
    const environment = options.environment ?? process.env
    this.json = options.json
    this.#stdout = options.stdout ?? process.stdout
    this.#stderr = options.stderr ?? process.stderr
    const continuousIntegration = environment.CI !== undefined && environment.CI !== '' && environment.CI !== 'false'
    this.progressShown = this.#stderr.isTTY === true && !continuousIntegration && environment.TERM !== 'dumb'
    this.#color = this.progressShown && !environment.NO_COLOR
    const wanted = Number(environment.FEDLORA_PROGRESS_SECONDS || 10)
    const seconds = wanted >= 0 ? wanted : 10
    this.#every = 1000 * (this.progressShown ? 1 : Math.min(seconds, 1e6))
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

  /** A piece of generated text: no line ends behind it. */
  piece(text: string): void {
    this.event({ type: 'piece', text })
    this.#erase()
    ;(this.json ? this.#stderr : this.#stdout).write(text)
  }

  /** What a run tells. Its failure is left out: the command ends with that, and says so in the last line. */
  eventOf(event: { readonly type: string }): void {
    if (event.type !== 'error') this.event({ ...event })
  }

  /** One machine-readable line; nothing without `--json`. */
  event(value: Readonly<Record<string, unknown>>): void {
    if (!this.json) return
    this.#erase()
    this.#stdout.write(`${JSON.stringify(value)}\n`)
  }

  #draw(): void {
    const { columns } = this.#stderr
    const label = this.#status!.left === undefined ? [formatSeconds((performance.now() - this.#since) / 1000)] : []
    const { details = [], ...status } = this.#status!
    const line = fitStatus({ ...status, details: [...details, ...label] }, (columns || 80) - 1)
    this.#stderr.write(clearLine + (this.#color ? `\u001b[36m${line}\u001b[0m` : line))
    this.#lineShown = true
    this.#lastDrawn = performance.now()
  }

  /** A line where there is no terminal to redraw one. */
  #tell(): void {
    const seconds = (performance.now() - this.#since) / 1000
    const { label, event } = this.#status!
    this.event({ type: 'progress', phase: label, ...event, seconds })
    const { details = [], ...status } = this.#status!
    this.note(fitStatus({ ...status, details: [...details, `${formatSeconds(seconds)} so far`] }))
  }

  /**
   * Says what is going on. On a terminal the line is redrawn at most ten times a second, and every second while nothing new comes;
   * elsewhere it is written every ten seconds, and on stdout as an event `progress` with `--json`.
   */
  status(status: Status): void {
    if (this.#status === undefined) this.#since = performance.now()
    const first = this.#status === undefined || !this.#lineShown
    this.#status = status
    if (this.progressShown && (first || performance.now() - this.#lastDrawn >= 100)) this.#draw()
    if (this.#timer !== undefined || !(this.#every > 0)) return
    this.#timer = setInterval(() => (this.progressShown ? this.#draw() : this.#tell()), this.#every)
    this.#timer.unref()
  }

  /** A phase that has no measure, or one of its own: the clock begins anew. */
  phase(label: string): void {
    this.#since = performance.now()
    this.status({ label })
  }

  /** How far a phase is. */
  measure(measured: Measured): void {
    this.status(measuredStatus(measured))
  }

  /** A status without a measure. */
  progress(label: string): void {
    this.status({ label })
  }

  /** Takes the progress line away. */
  endProgress(): void {
    this.#erase()
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#status = undefined
  }
}
