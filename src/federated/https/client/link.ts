/** The server of a federation over HTTPS. */

import { stat } from 'node:fs/promises'
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import type { z } from 'zod'
import { FedloraError, isFedloraError } from '../../../errors.js'
import { exists, hashFile, ioError } from '../../../files/atomic.js'
import type { BlobRef } from '../../blobs/blob-store.js'
import type { ClientLink } from '../../link/link.js'
import {
  type Description,
  descriptionSchema,
  type Known,
  type Notice,
  noticeSchema,
  type Reply,
  replySchema,
  type Word,
} from '../../link/messages.js'
import { privateBytes, type SigningKey } from '../keys.js'
import { fieldOf, paths, wholeNumber } from '../wire.js'
import { answerTo, type Connection, connectionError } from './connection.js'
import { type Answer, checkAnswer, readAnswer, signRequest } from './signed.js'
import { downloadTo, sendFile } from './transfer.js'

/** Seconds that a client waits for news in one request. */
const waitSeconds = 25
/** Milliseconds beyond them after which a connection is given up. */
const grace = 20_000
/** Bytes of an upload from which on it asks for leave before it is sent. */
const asksFirst = 65_536

type Fields = Record<string, string>

function checked<S extends z.ZodType>(schema: S, content: Buffer, what: string): z.output<S> {
  let value: unknown
  try {
    value = JSON.parse(content.toString('utf8'))
  } catch (error) {
    throw new FedloraError('E_PROTOCOL', `${what} of the server is no JSON`, {}, error)
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new FedloraError(
    'E_PROTOCOL',
    `${what} of the server is not what this version understands, at ${path.join('.') || 'its top'}: ${message}`,
  )
}

export class HttpsLink implements ClientLink {
  #description: { etag: string; value: Description } | undefined

  constructor(
    readonly connection: Connection,
    readonly key: SigningKey,
    /** The run's public key, from the join token. */
    readonly runKey: string,
  ) {}

  get identity(): Uint8Array {
    return privateBytes(this.key)
  }

  /** One request with no more than a message in it, and its answer. */
  async ask(
    method: string,
    target: string,
    signal: AbortSignal,
    fields: Fields = {},
    body?: unknown,
    idle?: number,
  ): Promise<Answer> {
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body), 'utf8')
    const extra: Fields =
      content === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(content.length) }
    const signed = this.#sign(method, target, { ...fields, ...extra }, content)
    const request = this.connection.begin(method, target, signed, signal, idle)
    request.end(content)
    return await this.#checked(await answerTo(request, this.connection.address, signal), signed, signal)
  }

  #sign(method: string, target: string, fields: Fields, content?: Uint8Array): Fields {
    return signRequest(this.key, method, this.connection.address + target, fields, content)
  }

  async #checked(message: IncomingMessage, signed: Fields, signal: AbortSignal): Promise<Answer> {
    const { address } = this.connection
    const answer = await readAnswer(message).catch((error) => {
      throw signal.aborted ? signal.reason : connectionError(error, address)
    })
    return checkAnswer(answer, this.runKey, signed, address)
  }

  async describe(signal: AbortSignal): Promise<Description> {
    const kept = this.#description
    const { status, headers, content } = await this.ask(
      'GET',
      paths.describe,
      signal,
      kept === undefined ? {} : { 'if-none-match': kept.etag },
    )
    if (status === 304 && kept !== undefined) return kept.value
    const value = checked(descriptionSchema, content, 'the description')
    this.#description = { etag: fieldOf(headers, 'etag') ?? '', value }
    return value
  }

  async next({ settled, working, heard }: Known, signal: AbortSignal): Promise<Notice | undefined> {
    const target = `${paths.next}?settled=${settled}&working=${working ?? ''}&heard=${heard}&wait=${waitSeconds}`
    const { status, headers, content } = await this.ask(
      'GET',
      target,
      signal,
      {},
      undefined,
      waitSeconds * 1000 + grace,
    )
    if (status !== 204) return checked(noticeSchema, content, 'a notice')
    await pause(wholeNumber(fieldOf(headers, 'retry-after')) ?? 0, signal)
    return undefined
  }

  async say(word: Word, signal: AbortSignal): Promise<Reply> {
    const { content } = await this.ask('POST', paths.say, signal, {}, word)
    return checked(replySchema, content, 'a reply')
  }

  async download(ref: BlobRef, path: string, signal: AbortSignal): Promise<void> {
    if ((await exists(path)) && (await hashFile(path)) === ref.blob) return
    const { address } = this.connection
    try {
      await downloadTo(path, ref, async (from) => {
        const target = paths.blobs + ref.blob
        const signed = this.#sign('GET', target, from === 0 ? {} : { range: `bytes=${from}-` })
        const request = this.connection.begin('GET', target, signed, signal)
        request.end()
        const message = await answerTo(request, address, signal)
        if (message.statusCode !== 200 && message.statusCode !== 206) {
          await this.#checked(message, signed, signal)
          throw new FedloraError('E_PROTOCOL', `${address} answers ${message.statusCode} where a blob was asked for`)
        }
        return message
      })
    } catch (error) {
      throw signal.aborted ? signal.reason : connectionError(error, address)
    }
  }

  async upload(ref: BlobRef, path: string, signal: AbortSignal): Promise<void> {
    const { size } = await stat(path).catch((error) => {
      throw ioError(error, `cannot read '${path}'`)
    })
    let from = await this.#offset(ref.blob, signal)
    if (from === ref.bytes && from > 0) return
    do {
      const end = Math.max(from, Math.min(size, ref.bytes))
      const arrived = await this.#send(ref, path, from, end, signal)
      if (arrived <= from && arrived < ref.bytes) {
        if (end > from) throw new FedloraError('E_UNREACHABLE', `the upload stays at byte ${arrived} of ${ref.bytes}`)
        throw new FedloraError('E_HASH', `'${path}' has ${size} bytes, its blob ${ref.bytes}`, { path })
      }
      from = arrived
    } while (from < ref.bytes)
  }

  /** Bytes that have arrived. */
  async #offset(blob: string, signal: AbortSignal): Promise<number> {
    try {
      const { headers } = await this.ask('HEAD', paths.blobs + blob, signal)
      return wholeNumber(fieldOf(headers, 'upload-offset')) ?? 0
    } catch (error) {
      if (isFedloraError(error, 'E_INTERNAL')) return 0 // answers to HEAD have no body: sending tells the reason
      throw error
    }
  }

  /** Sends what lies from a byte on to another. @returns bytes that have arrived. */
  async #send({ blob, bytes }: BlobRef, path: string, from: number, end: number, signal: AbortSignal): Promise<number> {
    const target = paths.blobs + blob
    const fields: Fields = {
      'upload-offset': String(from),
      'upload-length': String(bytes),
      'content-length': String(end - from),
      'content-type': 'application/partial-upload',
      ...(end - from >= asksFirst ? { expect: '100-continue' } : {}),
    }
    const signed = this.#sign('PATCH', target, fields)
    const request = this.connection.begin('PATCH', target, signed as OutgoingHttpHeaders, signal)
    const answer = answerTo(request, this.connection.address, signal)
    answer.catch(() => {}) // awaited below, when the file has been sent
    await sendFile(request, path, from, end).catch(() => {}) // the answer says why
    try {
      const { headers } = await this.#checked(await answer, signed, signal)
      return wholeNumber(fieldOf(headers, 'upload-offset')) ?? 0
    } catch (error) {
      const { offset } = isFedloraError(error, 'E_UPLOAD_OFFSET') ? error.details : {}
      if (typeof offset !== 'number' || offset === from || offset > bytes) throw error
      return offset
    } finally {
      if (!request.writableFinished) request.destroy()
    }
  }

  async close(): Promise<void> {
    this.connection.close()
  }
}

/** Waits for so many seconds, or until `signal` says that it is enough. */
async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  if (seconds === 0) return
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', end)
      resolve()
    }, seconds * 1000)
    const end = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    signal.addEventListener('abort', end, { once: true })
  })
}
