/**
 * A link on which everything goes wrong that can, by draws of a seed: calls that are late, lost before or after their effect, made twice, or again much
 * later; uploads and downloads that are cut; and, on the server's side of a link within one process, bytes that are cut, left out or changed. Time is turns
 * of the event loop, so that nothing is waited for.
 */
import { copyFile, rm, stat, truncate } from 'node:fs/promises'
import { FedloraError } from '../../../src/errors.js'
import type { BlobRef } from '../../../src/federated/blobs/blob-store.js'
import type { ClientLink, Door } from '../../../src/federated/link/link.js'
import type { Known, Word } from '../../../src/federated/link/messages.js'

const kinds = ['late', 'lost', 'unanswered', 'twice', 'again', 'cut', 'short', 'changed'] as const
type Kind = (typeof kinds)[number]

const lost = () => new FedloraError('E_UNREACHABLE', 'played by the test: the line is dead', { chaos: true })

/** What goes wrong, how often, and how often it did. */
export class Chaos {
  readonly happened = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<Kind, number>
  #state: number

  /** @param share - of calls that each kind strikes. */
  constructor(
    seed: number,
    readonly share = 0.12,
  ) {
    this.#state = seed
  }

  /** An integer below a limit, by Numerical Recipes' linear congruential generator. */
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * limit)
  }

  strikes(kind: Kind): boolean {
    const struck = this.below(1 << 16) < this.share * (1 << 16)
    if (struck) this.happened[kind]++
    return struck
  }

  /** Lets others go first. */
  async turns(): Promise<void> {
    if (!this.strikes('late')) return
    for (let turns = this.below(40); turns > 0; turns--) await new Promise<void>((resolve) => setImmediate(resolve))
  }
}

export class ChaosLink implements ClientLink {
  /** Calls that were made, to be made again. */
  readonly #old: ((signal: AbortSignal) => Promise<unknown>)[] = []

  constructor(
    private readonly inner: ClientLink,
    private readonly chaos: Chaos,
  ) {}

  async #call<R>(signal: AbortSignal, call: (signal: AbortSignal) => Promise<R>, repeats = true): Promise<R> {
    const { chaos } = this
    await chaos.turns()
    if (chaos.strikes('lost')) throw lost()
    if (this.#old.length > 0 && chaos.strikes('again')) {
      // Nobody waits for what a call of long ago comes to.
      const old = this.#old[chaos.below(this.#old.length)]!
      const over = AbortSignal.timeout(50)
      await old(over).catch(() => {})
    }
    if (repeats && chaos.strikes('twice')) await call(signal).catch(() => {})
    const result = await call(signal)
    this.#old.push(call)
    await chaos.turns()
    if (chaos.strikes('unanswered')) throw lost()
    return result
  }

  describe(signal: AbortSignal) {
    return this.#call(signal, (inner) => this.inner.describe(inner))
  }

  /** A call that waits is not made twice: the second would wait for what comes after the first. */
  next(known: Known, signal: AbortSignal) {
    const asked = { ...known }
    return this.#call(signal, (inner) => this.inner.next(asked, inner), false)
  }

  say(word: Word, signal: AbortSignal) {
    return this.#call(signal, (inner) => this.inner.say(word, inner))
  }

  download(ref: BlobRef, path: string, signal: AbortSignal) {
    return this.#call(signal, (inner) => this.inner.download(ref, path, inner), false)
  }

  /** Some first bytes may arrive before the line is dead. */
  async upload(ref: BlobRef, path: string, signal: AbortSignal): Promise<void> {
    const part = `${path}.${this.chaos.below(1 << 16)}.part`
    if (this.chaos.strikes('cut')) {
      await copyFile(path, part)
      await truncate(part, this.chaos.below((await stat(part)).size))
      await this.inner.upload(ref, part, signal).catch(() => {})
      await rm(part)
      throw lost()
    }
    await this.#call(signal, (inner) => this.inner.upload(ref, path, inner), false)
  }

  close() {
    return this.inner.close()
  }
}

/** A door behind which streams end early or bring other bytes. */
export function chaosDoor(door: Door, chaos: Chaos): Door {
  async function* worn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      if (chunk.length > 0 && chaos.strikes('short')) {
        yield chunk.subarray(0, chaos.below(chunk.length))
        throw lost()
      }
      if (chunk.length > 0 && chaos.strikes('changed')) {
        const other = Buffer.from(chunk)
        other[chaos.below(other.length)]! ^= 1 << chaos.below(8)
        yield other
      } else yield chunk
    }
  }
  return {
    describe: () => door.describe(),
    next: (client, known, signal) => door.next(client, known, signal),
    say: (client, word) => door.say(client, word),
    offset: (client, blob) => door.offset(client, blob),
    async read(client, blob, from) {
      const { bytes, chunks } = await door.read(client, blob, from)
      return { bytes, chunks: worn(chunks) }
    },
    write: (client, ref, from, chunks) => door.write(client, ref, from, worn(chunks)),
  }
}

const isChaos = (error: unknown) => (error as FedloraError).details?.chaos === true

/** A link whose caller does not know of chaos: what it did is done again at once. Failures of the link itself are its caller's. */
export function patient(inner: ClientLink, ofChaos: (error: unknown) => boolean = isChaos): ClientLink {
  const again = async <R>(call: () => Promise<R>): Promise<R> => {
    for (;;) {
      try {
        return await call()
      } catch (error) {
        if (!ofChaos(error)) throw error
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
    }
  }
  return {
    describe: (signal) => again(() => inner.describe(signal)),
    next: (known, signal) => again(() => inner.next(known, signal)),
    say: (word, signal) => again(() => inner.say(word, signal)),
    download: (ref, path, signal) => again(() => inner.download(ref, path, signal)),
    upload: (ref, path, signal) => again(() => inner.upload(ref, path, signal)),
    close: () => inner.close(),
  }
}
