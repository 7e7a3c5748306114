/** A server's answers over HTTP: each request is judged by its version, its signature and what its sender may still ask, then handed to its route. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { FedloraError, isFedloraError } from '../../../errors.js'
import type { Door, Registry } from '../../link/link.js'
import type { SigningKey } from '../keys.js'
import type { LimitsConfig } from '../options.js'
import { fieldOf, protocolVersion, versionField } from '../wire.js'
import { TokenBuckets } from './buckets.js'
import { Shares } from './budget.js'
import { Exchange } from './exchange.js'
import { Gate } from './gate.js'
import { findRoute, type Route } from './router.js'
import { clientRoutes, type Handler } from './routes.js'
import { Waiting } from './waiting.js'

/** A request that was answered, for logs and metrics. */
export interface Answered {
  /** Name of the route; '' when there is none. */
  route: string
  /** HTTP's status; 0: the asker was gone before. */
  status: number
  /** What was wrong, where something was. */
  error: unknown
  /** Whose request it was, once proven. */
  client: string
  address: string
  seconds: number
}

export interface Serving {
  door: Door
  registry: Pick<Registry, 'enroll' | 'clientOf'>
  key: SigningKey
  limits: LimitsConfig
  /** Address by which clients reach the server; undefined: what their requests say. */
  publicUrl?: string
  scheme: 'https' | 'http'
  answered(record: Answered): void
  enrolled(client: string, address: string): void
  /** Milliseconds since 1970. */
  now?: () => number
}

/** Answers that prove nobody: an address may only have so many of them. */
const strangers = new Set([
  'E_AUTH',
  'E_CLOCK',
  'E_TOKEN',
  'E_TOKEN_USED',
  'E_REVOKED',
  'E_MISSING',
  'E_UNSUPPORTED',
  'E_VERSION',
])

const tooMany = (retryAfter: number) =>
  new FedloraError('E_RATE', `too many requests; ask again in ${Math.ceil(retryAfter)} s`, { retryAfter })

export class Carrier {
  readonly waiting: Waiting
  readonly #routes: readonly Route<Handler>[]
  readonly #gate: Gate
  readonly #clients: TokenBuckets
  readonly #strangers: TokenBuckets
  readonly #requests: Shares
  readonly #uploads = new Shares(1)
  readonly #prefix: string
  #stopping = false

  constructor(readonly serving: Serving) {
    const { limits, publicUrl } = serving
    this.waiting = new Waiting(limits.waiting, limits.waitSeconds)
    this.#routes = clientRoutes({ ...serving, waiting: this.waiting })
    this.#gate = new Gate(serving.registry, serving.now)
    this.#clients = new TokenBuckets(limits.clientRate)
    this.#strangers = new TokenBuckets(limits.strangerRate)
    this.#requests = new Shares(limits.requestsPerClient)
    this.#prefix = publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/+$/, '')
  }

  /** From now on nothing new is begun, and nobody waits. */
  stop(): void {
    this.#stopping = true
    this.waiting.end()
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const began = performance.now()
    const exchange = this.#exchange(request, response)
    const record: Answered = {
      route: '',
      status: 0,
      error: undefined,
      client: '',
      address: exchange.address,
      seconds: 0,
    }
    response.once('close', () => {
      const seconds = (performance.now() - began) / 1000
      this.serving.answered({
        ...record,
        status: response.headersSent ? response.statusCode : 0,
        client: exchange.client,
        seconds,
      })
    })
    request.on('error', () => {}) // the sender is gone; whoever reads notices
    response.on('error', () => {})
    try {
      await this.#answer(exchange, record)
    } catch (error) {
      record.error = error
      if (isFedloraError(error) && strangers.has(error.code)) this.#strangers.take(exchange.address, began / 1000)
      exchange.fail(error)
    }
  }

  /**
   * The request as its sender sees it. Behind a proxy, the target may have lost the path before ours, and the last address that the proxy
   * forwards for is the sender's.
   */
  #exchange(request: IncomingMessage, response: ServerResponse): Exchange {
    const { publicUrl, scheme, key } = this.serving
    const url = request.url ?? ''
    const target = this.#prefix !== '' && url.startsWith(`${this.#prefix}/`) ? url.slice(this.#prefix.length) : url
    const origin = publicUrl?.replace(/\/+$/, '') ?? `${scheme}://${request.headers.host ?? ''}`
    const forwarded =
      publicUrl === undefined ? undefined : fieldOf(request.headers, 'x-forwarded-for')?.split(',').at(-1)?.trim()
    const address = forwarded || (request.socket.remoteAddress ?? '')
    return new Exchange(request, response, key, address, origin, target)
  }

  async #answer(exchange: Exchange, record: Answered): Promise<void> {
    const { request, address } = exchange
    if (this.#stopping) {
      throw new FedloraError('E_RATE', 'the server stops; it will be back', { status: 503, retryAfter: 5 })
    }
    const now = performance.now() / 1000
    const pause = this.#strangers.wait(address, now)
    if (pause > 0) throw tooMany(pause)
    exchange.readSignature() // so that every answer from here on is signed
    const { route, last, query } = findRoute(this.#routes, request.method ?? '', exchange.target)
    record.route = route.name
    const version = fieldOf(request.headers, versionField)
    if (version !== String(protocolVersion)) {
      const message = `this server speaks version ${protocolVersion} of the protocol, got '${(version ?? '').slice(0, 100)}'; use the version of fedlora that the server has`
      throw new FedloraError('E_VERSION', message, { supported: [protocolVersion] })
    }
    if (route.handle.by === 'stranger') {
      this.#gate.stranger(exchange)
      this.#strangers.take(address, now)
      return await route.handle.run(exchange, last, query)
    }
    exchange.client = this.#gate.enter(exchange)
    const turn = this.#clients.take(exchange.client, now)
    if (turn > 0) throw tooMany(turn)
    const release = this.#requests.take(exchange.client)
    const place = route.name === 'upload' ? this.#uploads.take(exchange.client) : () => {}
    try {
      if (release === undefined) throw tooMany(1)
      if (place === undefined)
        throw new FedloraError(
          'E_UPLOAD_BUSY',
          'another upload of this client is under way; ask again when it has ended',
        )
      await route.handle.run(exchange, last, query)
    } finally {
      release?.()
      place?.()
    }
  }
}
