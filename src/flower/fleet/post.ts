/** One POST over HTTPS, with an authority of one's own where that is given (fetch takes none). */
import { request as requestHttp } from 'node:http'
import { Agent, request as requestHttps } from 'node:https'
import { FedloraError } from '../../errors.js'

export interface PostOptions {
  headers: Readonly<Record<string, string>>
  body: Uint8Array
  /** Larger answers are refused. */
  maxBytes: number
  /** Without a byte for so long (ms) the request has failed. */
  idle: number
  signal: AbortSignal
}

export interface Answer {
  status: number
  body: Buffer
  /** The server's clock, when it told the time. */
  date: Date | undefined
}

/** Codes of Node and OpenSSL that mean that the other side is not who it should be: trying again changes nothing. */
const distrust = /^(CERT_|ERR_TLS_|ERR_SSL_|EPROTO|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA)/

function asCoded(error: Error, url: URL): FedloraError {
  const errno = (error as NodeJS.ErrnoException).code ?? ''
  const { host, protocol } = url
  if (distrust.test(errno)) {
    const cure = 'is ca the certificate of the authority that signed it, and the host one of its names?'
    const message = `flower: the certificate of ${host} is not trusted: ${error.message}; ${cure}`
    return new FedloraError('E_AUTH', message, { host, errno }, error)
  }
  const message = `flower: ${protocol}//${host} cannot be reached: ${error.message || errno}`
  return new FedloraError('E_UNREACHABLE', message, { host, errno, retry: true }, error)
}

/** Connections to one server, kept open between requests. */
export class Poster {
  readonly #agent: Agent
  readonly #ca: string | undefined

  /** @param ca - PEM of authorities that alone are trusted; undefined: those of Node. */
  constructor(ca: string | undefined) {
    this.#ca = ca
    this.#agent = new Agent({ keepAlive: true, maxSockets: 8, ...(ca !== undefined && { ca }) })
  }

  /**
   * @throws FedloraError `E_UNREACHABLE` when there is no answer (`details.retry`: another try may help), `E_AUTH` for a server that is not trusted,
   * `E_TOO_LARGE` for its answer; the signal's reason.
   */
  async post(url: URL, { headers, body, maxBytes, idle, signal }: PostOptions): Promise<Answer> {
    signal.throwIfAborted()
    return await new Promise<Answer>((resolve, reject) => {
      const secure = url.protocol === 'https:'
      const options = { method: 'POST', headers: { ...headers, 'content-length': String(body.length) }, signal }
      const onFail = (error: Error) => reject(signal.aborted ? signal.reason : asCoded(error, url))
      const request = secure
        ? requestHttps(url, { ...options, agent: this.#agent, ...(this.#ca !== undefined && { ca: this.#ca }) })
        : requestHttp(url, options)
      request.setTimeout(idle, () => request.destroy(new Error(`nothing came for ${idle / 1000} s`)))
      request.on('error', onFail)
      request.on('response', (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          chunks.push(chunk)
          if (size <= maxBytes) return
          const message = `flower: ${url.pathname}: an answer of more than ${maxBytes} bytes`
          reject(new FedloraError('E_TOO_LARGE', message, { maxBytes }))
          request.destroy()
        })
        response.on('error', onFail)
        response.on('close', () => response.complete || onFail(new Error('the answer was cut')))
        response.on('end', () => {
          const date = new Date(response.headers.date ?? '')
          const known = Number.isNaN(date.getTime()) ? undefined : date
          resolve({ status: response.statusCode!, body: Buffer.concat(chunks), date: known })
        })
      })
      request.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
