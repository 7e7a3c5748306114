/** What a server knows of its clients beside the journal: when each was last heard of and how far it is, and what went wrong. In memory. */
import type { BlobId, BlobRef } from '../federated/blobs/blob-store.js'
import type { Coordinator } from '../federated/coordinator/coordinator.js'
import { type Life, silence } from '../federated/coordinator/standing.js'
import type { RoundEvent } from '../federated/events.js'
import type { Hosted } from '../federated/https/operator/host.js'
import type { Known, Word } from '../federated/link/messages.js'
import type { Problem, Standing } from '../federated/link/standing.js'

const mostProblems = 100

/** A federation that remembers who came through its door. */
export class Lives implements Hosted {
  readonly #federation: Coordinator
  readonly #lives = new Map<string, Life>()
  readonly #problems: Problem[] = []
  /** Clients that know that the federation is over. */
  readonly #knowing = new Set<string>()
  /** Told of every client that comes to know it, or is shut out. */
  readonly #hearing = new Set<(client: string) => void>()
  readonly #now: () => number
  readonly #began: number

  /** @param now - milliseconds since the epoch. */
  constructor(federation: Coordinator, now: () => number = Date.now) {
    this.#federation = federation
    this.#now = now
    this.#began = now()
    federation.onEvent((event) => {
      if (event.type === 'refused' || event.type === 'failed' || event.type === 'declined')
        this.#note({ code: event.code, words: event.message, client: event.name })
      else if (event.type === 'round') this.#noteCulprits(event)
      else if (event.type === 'trouble') this.#note({ code: event.code, words: event.message })
    })
  }

  /** Who gave wrong shares is told: its device is broken, or somebody is at it. */
  #noteCulprits({ round, secureAggregation }: RoundEvent): void {
    for (const client of secureAggregation?.culprits ?? []) {
      const words = `gave a wrong share in round ${round}; the sum is right without it`
      this.#note({ code: 'E_PROTOCOL', words, client })
    }
  }

  #note(problem: Omit<Problem, 'at'>): void {
    this.#problems.push({ at: this.#now(), ...problem })
    if (this.#problems.length > mostProblems) this.#problems.shift()
  }

  #hear(client: string, word?: Word): void {
    const known = this.#lives.get(client)
    const work = word?.type === 'working' ? { round: word.round, step: word.step, steps: word.steps } : known?.work
    this.#lives.set(client, { seen: this.#now(), ...(work && { work }) })
  }

  /**
   * Names of the clients that are at work or may come back, and do not know that the federation is over. One that was silent for long is gone; after
   * a restart that is known of nobody, until the server has been there for as long.
   */
  get unaware(): string[] {
    const now = this.#now()
    return this.standing().clients.flatMap(({ name, state, seen }) => {
      const isMember = state !== 'invited' && state !== 'revoked'
      return isMember && !this.#knowing.has(name) && now - (seen ?? this.#began) <= silence ? [name] : []
    })
  }

  /** Resolves when every client of `unaware` knows that the federation is over; at `signal` in any case. */
  async everyoneKnows(signal: AbortSignal): Promise<void> {
    for (let names = this.unaware; names.length > 0 && !signal.aborted; names = this.unaware)
      await this.#heardBy(new Set(names), signal)
  }

  /** Resolves when none of them is left to hear of it, or when those who are left have had the time to fall silent; at `signal` in any case. */
  #heardBy(names: Set<string>, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const hear = (client: string) => {
        names.delete(client)
        if (names.size === 0) end()
      }
      const end = () => {
        this.#hearing.delete(hear)
        signal.removeEventListener('abort', end)
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(end, silence + 1).unref()
      this.#hearing.add(hear)
      signal.addEventListener('abort', end, { once: true })
    })
  }

  #heard(client: string): void {
    for (const hear of [...this.#hearing]) hear(client)
  }

  standing(): Standing {
    return this.#federation.standing({ lives: this.#lives, problems: this.#problems })
  }

  // ------------------------------------------------------------------------------------------------------------------------- the door

  describe() {
    return this.#federation.describe()
  }

  async next(client: string, known: Known, signal: AbortSignal) {
    this.#hear(client)
    const notice = await this.#federation.next(client, known, signal)
    if (notice?.type === 'over') {
      this.#knowing.add(client)
      this.#heard(client)
    }
    return notice
  }

  say(client: string, word: Word) {
    this.#hear(client, word)
    return this.#federation.say(client, word)
  }

  read(client: string, blob: BlobId, from: number) {
    this.#hear(client)
    return this.#federation.read(client, blob, from)
  }

  offset(client: string, blob: BlobId) {
    this.#hear(client)
    return this.#federation.offset(client, blob)
  }

  write(client: string, ref: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>) {
    this.#hear(client)
    return this.#federation.write(client, ref, from, chunks)
  }

  // ------------------------------------------------------------------------------------------------- who comes and goes; the operator

  enroll(token: string, key: string) {
    return this.#federation.enroll(token, key)
  }

  admit(client: string, key: string) {
    return this.#federation.admit(client, key)
  }

  clientOf(key: string) {
    return this.#federation.clientOf(key)
  }

  invite(name: string, seconds: number) {
    return this.#federation.invite(name, seconds)
  }

  async revoke(name: string) {
    await this.#federation.revoke(name)
    this.#heard(name)
  }

  pause(who: string) {
    return this.#federation.pause(who)
  }

  resume(who: string) {
    return this.#federation.resume(who)
  }

  abandonRound(who: string) {
    return this.#federation.abandonRound(who)
  }

  stop(who: string, why?: string) {
    return this.#federation.stop(who, why)
  }

  exportAdapter() {
    return this.#federation.exportAdapter()
  }
}
