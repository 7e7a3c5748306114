/** The server of a federation as one client sees it through NATS. */
import { randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { KV, KvWatchEntry } from '@nats-io/kv'
import type { Subscription } from '@nats-io/transport-node'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { replaceFile } from '../../files/atomic.js'
import type { BlobRef } from '../blobs/blob-store.js'
import { decode, encode } from '../link/json.js'
import type { ClientLink } from '../link/link.js'
import {
  type Description,
  descriptionSchema,
  type Known,
  type Notice,
  type Reply,
  replySchema,
  type Word,
} from '../link/messages.js'
import { type Bucket, openBucket, putObject, readObject } from './blobs.js'
import { type Call, offerEntrySchema } from './calls.js'
import { cutOf, keyValues, type NatsConnection, natsError } from './connect.js'
import { type Names, tokenOf } from './names.js'
import { Patient, unlessAborted } from './patient.js'

/** Milliseconds that a request may take; what takes longer is asked for again. */
const patience = 60_000
const replyEnvelope = z.union([z.strictObject({ value: z.json() }), z.strictObject({ error: z.json() })])

export interface NatsLinkParts {
  connection: NatsConnection
  names: Names
  client: string
  /** Ed25519 public key of the client, raw, base64url. */
  key: string
  /** Whether the connection is closed with the link. */
  owned?: boolean
  /** Ends the opening. */
  signal?: AbortSignal
  /** Milliseconds after which a client that heard nothing says again what it knows. Default 25,000. */
  listening?: number
  /** Its private key, raw: needed where updates travel masked. */
  identity?: Uint8Array | undefined
}

export class NatsLink implements ClientLink {
  readonly #parts: NatsLinkParts
  readonly #token: string
  readonly #offers: KV
  /** Told that a server has begun. */
  readonly #began: Subscription
  /** Ends what is asked: whoever was asked may be gone. */
  #asking = new AbortController()
  /** What this client is told, and what says that some of it may be lost. */
  #heard: { offers: Patient<KvWatchEntry>; cut: AbortSignal } | undefined
  #down: Bucket | undefined
  #up: Bucket | undefined

  private constructor(parts: NatsLinkParts, offers: KV) {
    this.#parts = parts
    this.#token = tokenOf(parts.client)
    this.#offers = offers
    const { connection, names } = parts
    this.#began = connection.subscribe(names.began(this.#token), {
      // Who may not hear this may ask nothing either, and is told so there.
      callback: (error) => {
        if (error === null) this.#askAgain()
      },
    })
  }

  get identity(): Uint8Array | undefined {
    return this.#parts.identity
  }

  /** @throws FedloraError `E_UNREACHABLE`, `E_AUTH`, `E_REVOKED`. */
  static async open(parts: NatsLinkParts): Promise<NatsLink> {
    const { Kvm } = await keyValues()
    const offers = await new Kvm(parts.connection).open(parts.names.offers, { bindOnly: true, allow_direct: true })
    const link = new NatsLink(parts, offers)
    await link.#ask({ call: 'enroll', key: parts.key }, parts.signal)
    return link
  }

  /** What a server that is gone was asked will not be answered: it is asked again as soon as that is known. */
  #askAgain(): void {
    this.#asking.abort(new FedloraError('E_UNREACHABLE', 'another server has begun: what was asked is lost'))
    this.#asking = new AbortController()
  }

  async #ask(call: Call, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted()
    const { connection, names } = this.#parts
    const asked = connection.request(names.ask(this.#token), encode(call), { timeout: patience })
    const lost = [this.#asking.signal, cutOf(connection)]
    const ended = AbortSignal.any(signal === undefined ? lost : [signal, ...lost])
    const message = await unlessAborted(asked, ended).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw natsError(error, `asking the server (${call.call})`)
    })
    const answer = decode(replyEnvelope, message.data, `the server's answer to ${call.call}`)
    if ('error' in answer) throw FedloraError.from(answer.error)
    return answer.value
  }

  async describe(signal: AbortSignal): Promise<Description> {
    signal.throwIfAborted()
    const entry = await this.#tried(this.#offers.get(this.#parts.names.description), 'the description')
    if (entry === null) throw new FedloraError('E_UNREACHABLE', 'the server of this federation has not started yet')
    return decode(descriptionSchema, entry.value, 'the description of the federation')
  }

  async next(known: Known, signal: AbortSignal): Promise<Notice | undefined> {
    signal.throwIfAborted()
    const { names, listening = 25_000 } = this.#parts
    const nonce = randomUUID()
    const { offers, cut } = await this.#watch()
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), listening)
    let notice: Notice | undefined
    try {
      const told = this.#offers.put(names.known(this.#token), encode({ nonce, known }))
      await unlessAborted(this.#tried(told, 'what is known'), AbortSignal.any([signal, cut]))
      notice = await this.#told(nonce, offers, AbortSignal.any([signal, late.signal, cut]))
      return notice
    } catch (error) {
      if (error !== cut.reason) throw error
      return undefined
    } finally {
      clearTimeout(timer)
      if (notice === undefined && !signal.aborted) this.#forget()
      signal.throwIfAborted()
    }
  }

  /** The watch of what this client is told; another one where a cut may have taken something from it. */
  async #watch(): Promise<{ offers: Patient<KvWatchEntry>; cut: AbortSignal }> {
    const { connection, names } = this.#parts
    if (this.#heard?.cut.aborted) this.#forget()
    this.#heard ??= {
      cut: cutOf(connection),
      offers: new Patient(await this.#tried(this.#offers.watch({ key: names.offer(this.#token) }), 'offers')),
    }
    return this.#heard
  }

  /** A watch that ended, or said nothing, is of no use: the next one to wait makes another. */
  #forget(): void {
    this.#heard?.offers.close()
    this.#heard = undefined
  }

  /** The answer to what was said with `nonce`; undefined when `signal` comes first. */
  async #told(nonce: string, heard: Patient<KvWatchEntry>, signal: AbortSignal): Promise<Notice | undefined> {
    for (;;) {
      const entry = await heard.next(signal)
      if (entry === undefined) return undefined
      const offer = decode(offerEntrySchema, entry.value, 'an offer')
      if (offer.nonce !== nonce) continue
      if (offer.error !== undefined) throw FedloraError.from(offer.error)
      return offer.notice
    }
  }

  async say(word: Word, signal: AbortSignal): Promise<Reply> {
    return replySchema.parse(await this.#ask({ call: 'say', word }, signal))
  }

  async download(ref: BlobRef, path: string, signal: AbortSignal): Promise<void> {
    await this.#ask({ call: 'fetch', blob: ref.blob }, signal)
    this.#down ??= await openBucket(this.#parts.connection, this.#parts.names.down, { make: false })
    const chunks = readObject(this.#down, ref.blob, 0, signal)
    await replaceFile(path, (temporary) => pipeline(chunks, createWriteStream(temporary), { signal }))
  }

  async upload(ref: BlobRef, path: string, signal: AbortSignal): Promise<void> {
    const { connection, names } = this.#parts
    this.#up ??= await openBucket(connection, names.up(this.#token), { make: false })
    const there = await this.#tried(this.#up.info(ref.blob), 'its own bucket')
    if (there === null || there.deleted) {
      const ended = AbortSignal.any([signal, cutOf(connection)]) // what a cut took is not acknowledged
      await unlessAborted(putObject(this.#up, ref, createReadStream(path, { signal: ended })), ended)
    }
    await this.#ask({ call: 'take', ref }, signal)
  }

  async #tried<T>(asked: Promise<T>, what: string): Promise<T> {
    return await asked.catch((error: unknown) => {
      throw natsError(error, what)
    })
  }

  async close(): Promise<void> {
    this.#began.unsubscribe()
    this.#forget()
    if (this.#parts.owned) await this.#parts.connection.close()
  }
}
