/** Figures for Prometheus, in a registry of their own. Names of clients are no labels: there may be ten thousand of them. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { isFedloraError } from '../../../errors.js'
import type { Standing } from '../../link/standing.js'
import type { Answered } from '../server/carrier.js'

export interface Sources {
  standing(): Standing | Promise<Standing>
  waiting(): number
  connections(): Promise<number>
}

/** What the federation says of itself. */
const figures: { name: string; help: string; read: (standing: Standing) => number | undefined }[] = [
  { name: 'fedlora_round', help: 'rounds that have ended', read: ({ round }) => round },
  { name: 'fedlora_rounds', help: 'rounds in all', read: ({ rounds }) => rounds },
  { name: 'fedlora_received_bytes', help: 'bytes of updates that counted', read: ({ bytesUp }) => bytesUp },
  { name: 'fedlora_sent_bytes', help: 'bytes that clients were sent', read: ({ bytesDown }) => bytesDown },
  {
    name: 'fedlora_loss',
    help: 'mean training loss of the last round, nats a token; 0 before there is one',
    read: ({ history }) => history.at(-1)?.loss ?? undefined,
  },
  {
    name: 'fedlora_held_out_loss',
    help: 'loss of the global adapter on the rows of evaluate, nats a token; 0 before there is one',
    read: ({ history }) => history.findLast(({ heldOutLoss }) => heldOutLoss !== undefined)?.heldOutLoss,
  },
  {
    name: 'fedlora_buffer_answers',
    help: 'answers in the buffer; 0 where there are rounds',
    read: ({ buffer }) => buffer?.answers,
  },
  {
    name: 'fedlora_buffer_size',
    help: 'answers in a full buffer; 0 where there are rounds',
    read: ({ buffer }) => buffer?.size,
  },
  {
    name: 'fedlora_at_work',
    help: 'clients at work beside a buffer; 0 where there are rounds',
    read: ({ buffer }) => buffer?.atWork,
  },
  {
    name: 'fedlora_staleness',
    help: 'steps by which the stalest answer of the last step was behind; 0 where there are rounds',
    read: ({ history }) => history.at(-1)?.stalenesses?.at(-1),
  },
  {
    name: 'fedlora_secure_phase',
    help: 'phase of the secure aggregation under way: 1 keys, 2 shares, 3 masked, 4 signed, 5 revealed; 0: none',
    read: ({ phase }) => phase && 1 + ['keys', 'shares', 'masked', 'signed', 'revealed'].indexOf(phase),
  },
  { name: 'fedlora_epsilon', help: 'privacy that is spent', read: ({ privacy }) => privacy?.epsilon ?? undefined },
]

export class Metrics {
  readonly #sources: Sources
  readonly #clients: Gauge
  readonly #figures: { read: (standing: Standing) => number | undefined; gauge: Gauge }[]
  readonly #registry = new Registry()
  readonly #requests: Counter
  readonly #seconds: Histogram
  readonly #refused: Counter
  readonly #enrolled: Counter
  readonly #delay = monitorEventLoopDelay({ resolution: 20 })

  constructor(sources: Sources) {
    this.#sources = sources
    const registers = [this.#registry]
    const labelNames = ['route', 'status', 'code'] as const
    this.#requests = new Counter({
      name: 'fedlora_requests_total',
      help: 'requests that were answered',
      labelNames,
      registers,
    })
    const buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]
    this.#seconds = new Histogram({
      name: 'fedlora_request_seconds',
      help: 'from the header of a request to the end of its answer',
      labelNames: ['route'],
      buckets,
      registers,
    })
    this.#refused = new Counter({
      name: 'fedlora_connections_refused_total',
      help: 'connections that came to nothing',
      labelNames: ['reason'],
      registers,
    })
    this.#enrolled = new Counter({
      name: 'fedlora_enrolments_total',
      help: 'clients that have used a token',
      registers,
    })
    const gauge = (name: string, help: string, read: () => number | Promise<number>) =>
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          this.set(await read())
        },
      })
    gauge('fedlora_connections', 'open connections', sources.connections)
    gauge('fedlora_waiting', 'clients that wait for news', sources.waiting)
    gauge('process_resident_memory_bytes', 'memory of the server', () => process.memoryUsage.rss())
    this.#delay.enable()
    gauge('fedlora_event_loop_delay_seconds', 'p99 of how late timers are, since the last look', () => {
      const late = this.#delay.percentile(99) / 1e9
      this.#delay.reset()
      return late
    })
    this.#clients = new Gauge({
      name: 'fedlora_clients',
      help: 'clients by what they are at',
      labelNames: ['state'],
      registers,
    })
    this.#figures = figures.map(({ read, ...about }) => ({ read, gauge: new Gauge({ ...about, registers }) }))
  }

  /** Takes over the federation's own figures, all from one look at it. */
  async #look(): Promise<void> {
    const standing = await this.#sources.standing()
    this.#clients.reset()
    for (const { state } of standing.clients) this.#clients.inc({ state })
    for (const { read, gauge } of this.#figures) {
      const value = read(standing)
      if (value === undefined) gauge.reset()
      else gauge.set(value)
    }
  }

  answered({ route, status, error, seconds }: Answered): void {
    const code = error === undefined ? '' : isFedloraError(error) ? error.code : 'E_INTERNAL'
    this.#requests.inc({ route: route || 'none', status: String(status), code })
    this.#seconds.observe({ route: route || 'none' }, seconds)
  }

  refused(reason: string): void {
    this.#refused.inc({ reason })
  }

  enrolled(): void {
    this.#enrolled.inc()
  }

  async text(): Promise<{ type: string; text: string }> {
    await this.#look()
    return { type: this.#registry.contentType, text: await this.#registry.metrics() }
  }

  close(): void {
    this.#delay.disable()
    this.#registry.clear()
  }
}
