/** The server as a node sees it: one method a request, signed, each answered by a message or a coded error. */
import { FedloraError } from '../../errors.js'
import type { NodeKey } from '../key/key.js'
import { type FleetMethod, fleetMethods, type Request, type Response } from '../wire/fleet.js'
import { Poster } from './post.js'
import { refusalOf } from './refusal.js'
import { type BackOff, mostFailures, persist, type Waiting } from './retry.js'

export interface FleetOptions {
  /** `https://host:port`; http only for this machine, unless `insecure`. */
  url: string
  ca?: string | undefined
  insecure?: boolean | undefined
  key: NodeKey
  signal: AbortSignal
  onWait(waiting: Waiting & { method: FleetMethod }): void
  pace: BackOff
}

/** Bytes of an answer: messages with the trees of their objects, and an object, whose chunks have 5 MiB. */
const maxMessage = 4 * 2 ** 20
const maxObject = 64 * 2 ** 20
/** Requests that are about one message. */
const aboutMessages = new Set<FleetMethod>(['pull-object', 'push-object', 'confirm-message-received'])

/** Without a byte for so long (ms) a request has failed. */
const idle = 60_000

/** @throws FedloraError `E_CONFIG` for what is no such address. */
function baseUrl({ url, insecure }: Pick<FleetOptions, 'url' | 'insecure'>): URL {
  let base: URL
  try {
    base = new URL(url.replace(/^flower:/, 'https:'))
  } catch (error) {
    throw new FedloraError('E_CONFIG', `flower: url: got ${JSON.stringify(url)}, expected https://host:port`, {}, error)
  }
  if (base.protocol !== 'https:' && base.protocol !== 'http:') {
    throw new FedloraError('E_CONFIG', `flower: url: got ${base.protocol}, expected https://host:port`, {})
  }
  if (base.username !== '' || base.search !== '' || base.hash !== '' || base.pathname !== '/') {
    throw new FedloraError('E_CONFIG', `flower: url: got ${JSON.stringify(url)}, expected a host and a port alone`, {})
  }
  const here = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(base.hostname)
  if (base.protocol === 'http:' && !here && insecure !== true) {
    const message = `flower: url: ${url} is not encrypted, and whoever reads a request may ask in this node's name for five minutes; use https, or insecure: true on a network of your own`
    throw new FedloraError('E_CONFIG', message, { url })
  }
  return base
}

export class Fleet {
  readonly url: URL
  readonly #poster: Poster
  readonly #options: FleetOptions

  /** @throws FedloraError `E_CONFIG` for an address that is none, or that is not encrypted. */
  constructor(options: FleetOptions) {
    this.url = baseUrl(options)
    this.#options = options
    this.#poster = new Poster(options.ca)
  }

  /**
   * One request, tried until it is answered.
   * @throws FedloraError `E_AUTH`, `E_CLOCK`, `E_RUN_OVER`, `E_PROTOCOL` for a refusal (`details.status`, `details.fleetCode`) and for an answer
   * that is none; `E_TOO_LARGE`; the signal's reason.
   */
  async call<M extends FleetMethod>(method: M, request: Request<M>): Promise<Response<M>> {
    const { request: asked } = fleetMethods[method]
    return await this.send(method, asked.encode(request as never))
  }

  /** The same with a request that was written before. */
  async send<M extends FleetMethod>(method: M, body: Uint8Array): Promise<Response<M>> {
    const { signal, onWait, pace } = this.#options
    return await persist(
      () => this.#once(method, body),
      { ...pace, signal, most: aboutMessages.has(method) ? mostFailures : Number.POSITIVE_INFINITY },
      (waiting) => onWait({ ...waiting, method }),
    )
  }

  async #once<M extends FleetMethod>(method: M, body: Uint8Array): Promise<Response<M>> {
    const { key, signal } = this.#options
    const headers = {
      ...key.headers(new Date()),
      'content-type': 'application/protobuf',
      accept: 'application/protobuf',
    }
    const maxBytes = method === 'pull-object' ? maxObject : maxMessage
    const answer = await this.#poster.post(new URL(`/v1/fleet/${method}`, this.url), {
      headers,
      body,
      maxBytes,
      idle,
      signal,
    })
    if (answer.status !== 200) throw refusalOf(method, answer, new Date())
    return fleetMethods[method].response.decode(answer.body) as Response<M>
  }

  /** Lets go of the connections. */
  close(): void {
    this.#poster.close()
  }
}
