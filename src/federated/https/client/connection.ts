/** Connections to one server: TLS 1.3, kept alive, through a proxy where there is one, strictly by one authority where it is pinned. */
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { Agent, request as sendRequest } from 'node:https'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import {
  type ConnectionOptions,
  connect as connectTls,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls'
import { FedloraError } from '../../../errors.js'
import { connectThrough, proxyFor } from './proxy.js'

export interface Trust {
  /** PEM of the only authority that is believed; undefined: those of this machine. */
  authority?: string
  /** PEM of the client's own certificate and key, for servers that ask for one. */
  certificate?: string
  key?: string
}

/** Milliseconds until a connection must stand, and in which something must happen on it. */
export const patience = { connect: 15_000, idle: 60_000 }

const hostOf = (address: URL): string => address.hostname.replace(/^\[|\]$/g, '')
const portOf = (address: URL): number => Number(address.port || 443)

/** Options of TLS to a server. Addresses have no server name (RFC 6066 §3). */
function tlsOptions(address: URL, { authority, certificate, key }: Trust): ConnectionOptions {
  const host = hostOf(address)
  return {
    host,
    port: portOf(address),
    minVersion: 'TLSv1.3',
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(authority === undefined ? {} : { ca: authority }),
    ...(certificate === undefined ? {} : { cert: certificate, key }),
  }
}

/**
 * What a failure below HTTP means.
 * @param sealed - whether the connection was encrypted by then: an alert of TLS that was not may be anybody's, or a damaged byte, and decides nothing.
 */
export function connectionError(error: unknown, address: string, sealed = true): FedloraError {
  if (error instanceof FedloraError) return error
  const { code = '', message } = error as NodeJS.ErrnoException
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const cure = 'its certificate is for other names; the operator adds this one to tls.names'
    return new FedloraError('E_AUTH', `${address} is not who it should be: ${cure} (${message})`, { address }, error)
  }
  if (
    /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS_/.test(code) ||
    (sealed && /alert (certificate|unknown ca|access denied)/i.test(message))
  ) {
    return new FedloraError(
      'E_AUTH',
      `${address} could not be trusted, or did not trust this client's certificate: ${message}`,
      { address, reason: code },
      error,
    )
  }
  return new FedloraError('E_UNREACHABLE', `${address} cannot be reached: ${message}`, { address, reason: code }, error)
}

/** An agent whose connections may go through a proxy. */
class OutboundAgent extends Agent {
  /** Certificates are read once, and not for each connection. */
  #context: SecureContext | undefined

  constructor(
    readonly address: URL,
    readonly proxy: URL | undefined,
    readonly trust: Trust,
  ) {
    super({ keepAlive: true, maxSockets: 8, maxFreeSockets: 2, ...tlsOptions(address, trust) })
  }

  override createConnection(given: ConnectionOptions, done: (error: Error | null, socket: Duplex) => void) {
    this.#context ??= createSecureContext(tlsOptions(this.address, this.trust))
    const options = { ...given, secureContext: this.#context }
    if (this.proxy === undefined) return super.createConnection(options, done)
    connectThrough(this.proxy, hostOf(this.address), portOf(this.address)).then(
      (socket) => done(null, super.createConnection({ ...options, socket } as ConnectionOptions)!),
      (error) => done(error as Error, undefined as unknown as Duplex),
    )
    return undefined
  }
}

export class Connection {
  readonly address: string
  readonly #url: URL
  readonly #agent: Agent

  constructor(address: string, trust: Trust, environment: NodeJS.ProcessEnv = process.env) {
    this.address = address
    this.#url = new URL(address)
    this.#agent = new OutboundAgent(this.#url, proxyFor(this.#url, environment), trust)
  }

  /** Begins a request; `target` is path and query. Its 'error' is told by `connectionError`. */
  begin(
    method: string,
    target: string,
    headers: OutgoingHttpHeaders,
    signal: AbortSignal,
    idle = patience.idle,
  ): ClientRequest {
    const path = this.#url.pathname.replace(/\/+$/, '') + target
    const request = sendRequest({
      host: hostOf(this.#url),
      port: portOf(this.#url),
      method,
      path,
      headers: { host: this.#url.host, ...headers },
      agent: this.#agent,
      signal,
      timeout: idle,
    })
    request.once('timeout', () => request.destroy(new Error(`nothing came for ${idle / 1000} s`)))
    return request
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** The answer to a request, once its head is there. @throws what `connectionError` makes of the failure, or the reason of `signal`. */
export function answerTo(request: ClientRequest, address: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve)
    request.on('error', (error) => {
      const sealed = (request.socket as { secureConnecting?: boolean } | null)?.secureConnecting === false
      reject(signal.aborted ? signal.reason : connectionError(error, address, sealed))
    })
  })
}

/** A TLS connection for a first look at a server whose authority is not known yet. */
export async function connectBlindly(
  address: URL,
  environment: NodeJS.ProcessEnv,
  trust: Trust,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const proxy = proxyFor(address, environment)
  const through =
    proxy === undefined ? {} : { socket: await connectThrough(proxy, hostOf(address), portOf(address), signal) }
  return await new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      socket.destroy()
      reject(signal.aborted ? signal.reason : connectionError(error, address.origin, false))
    }
    const socket = connectTls({ ...tlsOptions(address, trust), rejectUnauthorized: false, ...through }, () => {
      signal.removeEventListener('abort', fail)
      resolve(socket)
    })
    socket.setTimeout(patience.connect, () => fail(new Error(`no answer within ${patience.connect / 1000} s`)))
    socket.once('error', fail)
    signal.addEventListener('abort', fail, { once: true })
  })
}
