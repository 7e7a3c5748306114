/** The server of a federation as one client sees it through NATS. */
import { randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { KV, KvWatchEntry } from '@nats-io/kv'
import type { ObjectStore } from '@nats-io/obj'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { replaceFile } from '../../files/atomic.js'
import type { BlobRef } from '../blobs/blob-store.js'
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
import { openBucket, putObject, readObject } from './blobs.js'
import { type Call, decode, encode, offerEntrySchema } from './calls.js'
import { keyValues, type NatsConnection, natsError } from './connect.js'
import { type Names, tokenOf } from './names.js'
import { Patient, unlessAborted } from './patient.js'

/** Milliseconds that a request may take; what takes longer is asked for again. */
const patience = 60_000
/** Milliseconds after which a client that heard nothing says again what it knows. */
const listening = 25_000

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
  /** Its private key, raw: needed where updates travel masked. */
  identity?: Uint8Array | undefined
}

export class NatsLink implements ClientLink {
  readonly #parts: NatsLinkParts
  readonly #token: string
  readonly #offers: KV
  #heard: Patient<KvWatchEntry> | undefined
  /** Ends what is asked: whoever was asked may be gone. */
  #asking = new AbortController()
  readonly #closers: (() => unknown)[] = []
  #down: ObjectStore | undefined
  #up: ObjectStore | undefined

  private constructor(parts: NatsLinkParts, offers: KV) {
    this.#parts = parts
    this.#token = tokenOf(parts.client)
    this.#offers = offers
  }

  get identity(): Uint8Array | undefined {
    return this.#parts.identity
  }

  /** @throws FedloraError `E_UNREACHABLE`, `E_AUTH`, `E_REVOKED`. */
  static async open(parts: NatsLinkParts): Promise<NatsLink> {
    const { Kvm } = await keyValues()
    const offers = await new Kvm(parts.connection).open(parts.names.offers, { bindOnly: true, allow_direct: true })
    const link = new NatsLink(parts, offers)
    link.#listen()
    await link.#ask({ call: 'enroll', key: parts.key }, parts.signal)
    return link
  }

  /** What a server that is gone, or cut off, was asked will not be answered: it is asked again as soon as that is known. */
  #listen(): void {
    const { connection, names } = this.#parts
    const again = () => {
      this.#asking.abort(
        new FedloraError('E_UNREACHABLE', 'another server has begun, or NATS has: what was asked is lost'),
      )
      this.#asking = new AbortController()
    }
    const callback = (error: Error | null) => {
      if (error === null) again() // who may not hear this may ask nothing either, and is told so there
    }
    const began = connection.subscribe(names.began(this.#token), { callback })
    const changes = connection.status()[Symbol.asyncIterator]()
    this.#closers.push(
      () => began.unsubscribe(),
      () => changes.return?.(),
    )
    void (async () => {
      for (let next = await changes.next(); !next.done; next = await changes.next()) {
        if (next.value.type === 'reconnect') again()
      }
    })()
  }

  async #ask(call: Call, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted()
    const { connection, names } = this.#parts
    const asked = connection.request(names.ask(this.#token), encode(call), { timeout: patience })
    const ending = this.#asking.signal
    const either = signal === undefined ? ending : AbortSignal.any([signal, ending])
    const message = await unlessAborted(asked, either).catch((error: unknown) => {
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
    const { names } = this.#parts
    const nonce = randomUUID()
    this.#heard ??= new Patient(await this.#tried(this.#offers.watch({ key: names.offer(this.#token) }), 'offers'))
    await this.#tried(this.#offers.put(names.known(this.#token), encode({ nonce, known })), 'what is known')
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), listening)
    try {
      const notice = await this.#told(nonce, this.#heard, AbortSignal.any([signal, late.signal, this.#asking.signal]))
      if (notice === undefined) this.#forget()
      return notice
    } finally {
      clearTimeout(timer)
      signal.throwIfAborted()
    }
  }

  /** A watch that said nothing may have ended with a connection that was cut: the next one to wait makes another. */
  #forget(): void {
    this.#heard?.close().catch(() => {})
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
    const chunks = readObject(this.#down, ref.blob, 0, AbortSignal.any([signal, this.#asking.signal]))
    await replaceFile(path, (temporary) => pipeline(chunks, createWriteStream(temporary), { signal }))
  }

  async upload(ref: BlobRef, path: string, signal: AbortSignal): Promise<void> {
    const { connection, names } = this.#parts
    this.#up ??= await openBucket(connection, names.up(this.#token), { make: false })
    const there = await this.#tried(this.#up.info(ref.blob), 'its own bucket')
    if (there === null || there.deleted) {
      const ended = AbortSignal.any([signal, this.#asking.signal]) // what a cut connection took is not answered
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
    for (const close of this.#closers) close()
    await this.#heard?.close()
    if (this.#parts.owned) await this.#parts.connection.close()
  }
}
