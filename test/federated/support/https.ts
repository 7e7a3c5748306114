/** A server over HTTPS whose federation is a fake: a door that keeps what it is told, and a registry in memory. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { FedloraError } from '../../../src/errors.js'
import type { BlobId, BlobRef } from '../../../src/federated/blobs/blob-store.js'
import {
  type LimitsOptions,
  type ListenOptions,
  limitsSchema,
  listenSchema,
  type TlsOptions,
  tlsSchema,
} from '../../../src/federated/https/options.js'
import type { Answered } from '../../../src/federated/https/server/carrier.js'
import { type Served, serveHttps } from '../../../src/federated/https/server/serve.js'
import type { Door, Registry } from '../../../src/federated/link/link.js'
import type { Description, Known, Notice, Reply, Word } from '../../../src/federated/link/messages.js'

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Names, tokens and keys; what a token is worth is a word in a map. */
class FakeRegistry {
  readonly tokens = new Map<string, { name: string; until: number; key?: string }>()
  readonly names = new Map<string, string>()
  readonly revoked = new Set<string>()

  async enroll(token: string, key: string): Promise<{ client: string }> {
    const found = this.tokens.get(token)
    if (found === undefined || found.until < Date.now()) throw new FedloraError('E_TOKEN', 'unknown or expired')
    if (found.key !== undefined && found.key !== key) throw new FedloraError('E_TOKEN_USED', 'used by somebody else')
    found.key = key
    this.names.set(key, found.name)
    return { client: found.name }
  }

  async admit(client: string, key: string): Promise<void> {
    this.names.set(key, client)
  }

  clientOf(key: string): string {
    const name = this.names.get(key)
    if (name === undefined) throw new FedloraError('E_AUTH', 'nobody has this key')
    if (this.revoked.has(name)) throw new FedloraError('E_REVOKED', `${name} is shut out`)
    return name
  }

  async invite(name: string, seconds: number): Promise<{ token: string }> {
    const token = randomBytes(32).toString('base64url')
    this.tokens.set(token, { name, until: Date.now() + seconds * 1000 })
    return { token }
  }

  async revoke(name: string): Promise<void> {
    this.revoked.add(name)
  }
}

export class FakeFederation extends FakeRegistry implements Door, Registry {
  readonly run = randomBytes(16).toString('hex')
  readonly whole = new Map<BlobId, Buffer>()
  readonly begun = new Map<BlobId, Buffer>()
  /** Everything that was counted: what a liar must not be able to add to. */
  readonly said: { client: string; word: Word }[] = []
  readonly #busy = new Set<BlobId>()
  /** Notices that wait for clients, and clients that wait for notices. */
  readonly #news = new Map<string, Notice[]>()
  readonly #wakes = new Map<string, () => void>()
  /** Bytes that one upload may have. */
  mostBytes = 2 ** 26
  reply: Reply = { type: 'taken' }

  async describe(): Promise<Description> {
    const initial = { blob: sha256(Buffer.alloc(0)), bytes: 0 }
    const model = { name: 'none', config: '', weights: '', options: {} }
    const adapter = { config: {}, targets: [], length: 0 }
    return { protocol: 1, run: this.run, name: 'fake', federation: { rounds: 1 }, model, adapter, data: {}, initial }
  }

  notify(client: string, notice: Notice): void {
    this.#news.set(client, [...(this.#news.get(client) ?? []), notice])
    this.#wakes.get(client)?.()
  }

  async next(client: string, _known: Known, signal: AbortSignal): Promise<Notice | undefined> {
    for (;;) {
      const notice = this.#news.get(client)?.shift()
      if (notice !== undefined || signal.aborted) return notice
      await new Promise<void>((resolve) => {
        this.#wakes.set(client, resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  async say(client: string, word: Word): Promise<Reply> {
    this.said.push({ client, word })
    return this.reply
  }

  /** Whether somebody writes a blob. */
  get isBusy(): boolean {
    return this.#busy.size > 0
  }

  put(bytes: Uint8Array): BlobRef {
    const blob = sha256(bytes)
    this.whole.set(blob, Buffer.from(bytes))
    return { blob, bytes: bytes.length }
  }

  async read(_client: string, blob: BlobId, from: number) {
    const bytes = this.whole.get(blob)
    if (bytes === undefined) throw new FedloraError('E_BLOB_MISSING', 'it is not there')
    async function* chunks() {
      for (let at = from; at < bytes!.length; at += 65_536) yield bytes!.subarray(at, at + 65_536)
    }
    return { bytes: bytes.length, chunks: chunks() }
  }

  async offset(_client: string, blob: BlobId): Promise<number> {
    return (this.whole.get(blob) ?? this.begun.get(blob))?.length ?? 0
  }

  async write(
    client: string,
    { blob, bytes }: BlobRef,
    from: number,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<number> {
    if (bytes > this.mostBytes) throw new FedloraError('E_TOO_LARGE', `at most ${this.mostBytes} bytes`)
    const offset = await this.offset(client, blob)
    if (this.#busy.has(blob)) throw new FedloraError('E_UPLOAD_BUSY', 'another request writes it', { offset })
    if (offset !== from) throw new FedloraError('E_UPLOAD_OFFSET', `it stands at ${offset}`, { offset })
    this.#busy.add(blob)
    const parts = [this.begun.get(blob) ?? Buffer.alloc(0)]
    try {
      let arrived = from
      for await (const chunk of chunks) {
        arrived += chunk.length
        if (arrived > bytes) throw new FedloraError('E_TOO_LARGE', 'more than announced')
        parts.push(Buffer.from(chunk))
      }
    } finally {
      this.#busy.delete(blob)
      this.begun.set(blob, Buffer.concat(parts))
    }
    const all = this.begun.get(blob)!
    if (all.length < bytes) return all.length
    this.begun.delete(blob)
    if (sha256(all) !== blob) throw new FedloraError('E_HASH', 'these are other bytes')
    this.whole.set(blob, all)
    return all.length
  }
}

export interface Started extends AsyncDisposable {
  federation: FakeFederation
  served: Served
  folder: string
  /** Every request that was answered. */
  answered: Answered[]
  refused: string[]
  invite(name: string): Promise<string>
}

export interface StartOptions {
  limits?: LimitsOptions
  listen?: Partial<ListenOptions>
  tls?: TlsOptions
  folder?: string
  now?: () => number
}

export async function startServer({ limits = {}, listen = {}, tls, folder, now }: StartOptions = {}): Promise<Started> {
  const place = folder ?? mkdtempSync(join(tmpdir(), 'fedlora-https-'))
  const federation = new FakeFederation()
  const answered: Answered[] = []
  const refused: string[] = []
  const served = await serveHttps({
    door: federation,
    registry: federation,
    run: federation.run,
    folder: place,
    listen: listenSchema.parse({ host: '127.0.0.1', port: 0, ...listen }),
    tls: tlsSchema.parse(tls),
    limits: limitsSchema.parse({ drainSeconds: 1, ...limits }),
    answered: (record) => answered.push(record),
    refused: (code) => refused.push(code),
    now,
  })
  return {
    federation,
    served,
    folder: place,
    answered,
    refused,
    invite: (name) => served.invite(name, 60),
    async [Symbol.asyncDispose]() {
      await served.close()
      if (folder === undefined) rmSync(place, { recursive: true, force: true })
    },
  }
}

export interface Raw {
  status: number
  headers: IncomingHttpHeaders
  /** Code of the problem that came; undefined for none. */
  code: string | undefined
  text: string
}

/** One request exactly as given, without a client's care. `fields` may be what `signRequest` makes. */
export function rawRequest(
  { served }: Started,
  method: string,
  target: string,
  fields: Record<string, string> = {},
  body?: Uint8Array,
): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port: served.port,
      method,
      path: target,
      headers: fields,
      rejectUnauthorized: false,
      agent: false,
    } as const
    const sent = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        let code: string | undefined
        try {
          code = JSON.parse(text).code
        } catch {}
        resolve({ status: response.statusCode!, headers: response.headers, code, text })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Bytes straight onto the TLS connection, and what comes back until it closes. */
export function rawBytes({ served }: Started, ...pieces: (string | Uint8Array)[]): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect({ host: '127.0.0.1', port: served.port, rejectUnauthorized: false }, () => {
      for (const piece of pieces) socket.write(piece)
    })
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}
