/** One request and its answer. Everything but the bytes of blobs is signed by the run's key, bound to the request that it answers (RFC 9421 §2.4). */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { contentDigest, digestField } from '../digest.js'
import type { SigningKey } from '../keys.js'
import { problemOf, problemText, problemType } from '../problem.js'
import { type ReadSignature, readSignature, signMessage } from '../signature.js'
import { fieldOf, protocolVersion, versionField } from '../wire.js'

/** Milliseconds for which a refused sender is still listened to, so that it reads the answer before it sees the connection closed. */
const lingering = 2000

type Fields = Record<string, string>

export class Exchange {
  /** The signature of the request, once it was read. */
  signature: ReadSignature | undefined
  #unreadable: unknown
  /** Name of the client that asks, once that is proven. */
  client = ''
  /** Aborted when nobody listens to the answer any more. */
  readonly gone: AbortSignal

  constructor(
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
    readonly runKey: SigningKey,
    /** Where it comes from, as far as that can be told. */
    readonly address: string,
    /** Scheme, host and path before ours, as the client sees them. */
    readonly origin: string,
    /** Path and query of ours. */
    readonly target: string,
  ) {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    this.gone = gone.signal
  }

  /** Reads the signature of the request, which says nothing about whether it fits. */
  readSignature(): void {
    const { headers } = this.request
    try {
      this.signature = readSignature(fieldOf(headers, 'signature-input'), fieldOf(headers, 'signature'))
    } catch (error) {
      this.#unreadable = error
    }
  }

  /** @throws FedloraError `E_AUTH` when the request has no signature that can be read. */
  get signed(): ReadSignature {
    if (this.signature === undefined) throw this.#unreadable
    return this.signature
  }

  /** Tells a sender that asked whether it may send that it may. */
  goOn(): void {
    if (this.request.headers.expect !== undefined && !this.response.headersSent) this.response.writeContinue()
  }

  #signed(status: number, content: Uint8Array, fields: Fields): Fields {
    const all: Fields = { ...fields, [versionField]: String(protocolVersion), [digestField]: contentDigest(content) }
    if (this.signature === undefined) return all
    const names = [digestField, versionField, ...('upload-offset' in all ? ['upload-offset'] : [])]
    const covered = [
      ['"@status"', String(status)],
      ...names.map((name) => [`"${name}"`, all[name]!] as const),
      ['"signature";req;key="fedlora"', `:${Buffer.from(this.signature.signature).toString('base64')}:`],
    ] as const
    const created = Math.floor(Date.now() / 1000)
    const nonce = randomBytes(16).toString('base64url')
    return { ...all, ...signMessage(covered, { created, nonce, keyid: this.runKey.name }, this.runKey.private) }
  }

  /** Answers with JSON, or with nothing. */
  send(status: number, body?: unknown, fields: Fields = {}): void {
    this.#end(status, body === undefined ? undefined : JSON.stringify(body), {
      'content-type': 'application/json',
      ...fields,
    })
  }

  fail(error: unknown): void {
    const problem = problemOf(error)
    const fields: Fields = { 'content-type': problemType }
    if (problem.retryAfter !== undefined) fields['retry-after'] = String(Math.ceil(problem.retryAfter))
    const { offset } = problem.details
    if (typeof offset === 'number') fields['upload-offset'] = String(offset)
    this.#end(problem.status, problemText(problem), fields)
  }

  #end(status: number, text: string | undefined, { 'content-type': type, ...fields }: Fields): void {
    const { request, response } = this
    if (response.headersSent || response.destroyed) {
      response.destroy() // in the middle of a blob: a cut tells the client that there is no more
      return
    }
    const content = Buffer.from(text ?? '', 'utf8')
    const body = request.method === 'HEAD' ? Buffer.alloc(0) : content
    const length: Fields = status === 204 || status === 304 ? {} : { 'content-length': String(body.length) }
    if (text !== undefined && type !== undefined) length['content-type'] = type
    if (!request.complete) {
      length.connection = 'close'
      response.once('finish', () => {
        request.resume()
        setTimeout(() => request.socket.destroy(), lingering).unref()
      })
    }
    response.writeHead(status, { 'cache-control': 'no-store', ...this.#signed(status, body, fields), ...length })
    response.end(body)
  }
}
