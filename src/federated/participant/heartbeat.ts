/** Signs of life while a client works: a server need not wait for one that is gone. */
import { FedloraError } from '../../errors.js'
import type { Reply, Word } from '../link/messages.js'
import type { Time } from '../link/retry.js'

/** Milliseconds between signs, give or take a fifth. */
const interval = 30_000

export interface Beating {
  round: number
  time: Time
  random(): number
  signal: AbortSignal
}

export class Heartbeat {
  readonly #say: (word: Word, signal: AbortSignal) => Promise<Reply>
  readonly #beating: Beating
  #at = { step: 0, steps: 0 }

  constructor(say: (word: Word, signal: AbortSignal) => Promise<Reply>, beating: Beating) {
    this.#say = say
    this.#beating = beating
  }

  /** How far the work is. */
  at(step: number, steps: number): void {
    this.#at = { step, steps }
  }

  /**
   * Works, and says so now and then. A sign that does not get through is not repeated; the next will.
   * @param work - gets a signal that also fires when the server says that the round needs this work no longer.
   * @throws FedloraError `E_LIMIT` then; what the work throws.
   */
  async during<R>(work: (signal: AbortSignal) => Promise<R>): Promise<R> {
    const { signal } = this.#beating
    const needless = new AbortController()
    const done = new AbortController()
    const beats = this.#beat(needless, AbortSignal.any([signal, done.signal]))
    try {
      return await work(AbortSignal.any([signal, needless.signal]))
    } finally {
      done.abort()
      await beats
    }
  }

  async #beat(needless: AbortController, signal: AbortSignal): Promise<void> {
    const { round, time, random } = this.#beating
    while (!signal.aborted) {
      const reply = await this.#say({ type: 'working', round, ...this.#at }, signal).catch(() => undefined)
      if (reply?.type === 'refused') {
        const why = `the server needs it no longer (${reply.code}): ${reply.why}`
        return needless.abort(new FedloraError('E_LIMIT', why, { round, code: reply.code }))
      }
      await time.sleep(interval * (0.8 + 0.4 * random()), signal).catch(() => undefined)
    }
  }
}
