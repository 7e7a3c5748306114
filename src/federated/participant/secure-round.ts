/**
 * A client's part in a round's secure aggregation, in outbox/ROUND/secure.bin: its state, and what it says in it. Both are on disk before a word of it is
 * said, and a state is used once: a client that dies says the same again, and never gives both shares of a peer.
 *
 *   1 roster → shares    2 inbox → (work, masked answer)    3 survivors → signed    4 signatures → revealed
 */
import { open, readFile } from 'node:fs/promises'
import { FedloraError } from '../../errors.js'
import { exists, replaceFile } from '../../files/atomic.js'
import { native } from '../../native/load.js'
import { parseOptions } from '../../options/parse.js'
import type { Vectors } from '../algorithms/algorithm.js'
import { maskUpdate } from '../client/mask-update.js'
import type { Reply } from '../link/messages.js'
import { pack, unpack } from '../link/packed.js'
import { messageIn, messageText, secureSchema, setupOf } from '../link/secure.js'
import type { Answer, Task } from '../protocol/messages.js'
import {
  type Entered,
  enter,
  type Masking,
  revealShares,
  type Sharing,
  type Signing,
  shareSecrets,
  signSurvivors,
} from '../protocol/secagg/client.js'
import type { FromClient } from '../protocol/secagg/messages.js'
import type { Work } from './outbox.js'

/** The file. */
interface Kept {
  /** Messages heard. */
  heard: number
  /** Null: it takes no further part, or its state lies with its answer. */
  state: Entered | Sharing | Signing | null
  /** The second message, for the mask. */
  inbox: unknown
  /** What is to be said now, as often as it takes. */
  said: FromClient | null
}

/** A masked answer, and the state to go on from. */
export interface Masked {
  masked: NonNullable<Answer['masked']>
  /** Bytes of a masked value. */
  wordBytes: number
  state: string
}

const wrong = (message: string) => new FedloraError('E_PROTOCOL', `secure aggregation: ${message}`)

export class SecureRound {
  readonly #path: string
  #kept: Kept
  #isSaid = false

  private constructor(path: string, kept: Kept) {
    this.#path = path
    this.#kept = kept
  }

  /**
   * Takes part in a round, or goes on with it.
   * @param path - its file.
   * @param identity - the client's Ed25519 private key, raw.
   * @throws FedloraError `E_ARGUMENT` for a round that would keep no secret, or knows another key of this client; `E_CONFIG`, `E_IO`.
   */
  static async open(path: string, { secure }: Work, identity: Uint8Array | undefined): Promise<SecureRound> {
    if (await exists(path)) return new SecureRound(path, unpack(await readFile(path)) as Kept)
    if (identity === undefined) throw wrong('the way to the server has no key of this client')
    const { setup, client } = setupOf(parseOptions(secureSchema, secure, "the server's secure aggregation"))
    const { state, message } = enter({ ...setup, length: 1 }, client, identity)
    const round = new SecureRound(path, { heard: 0, state: null, inbox: null, said: null })
    await round.#keep({ heard: 0, state, inbox: null, said: message })
    return round
  }

  async #keep(kept: Kept): Promise<void> {
    await replaceFile(this.#path, async (temporary) => {
      const file = await open(temporary, 'wx', 0o600)
      try {
        await file.writeFile(pack(kept))
      } finally {
        await file.close()
      }
    })
    this.#kept = kept
    this.#isSaid = false
  }

  /** Messages of the round that were heard. */
  get heard(): number {
    return this.#kept.heard
  }

  /** Whether the work may begin: peers' shares are here. */
  get mayWork(): boolean {
    return this.#kept.heard === 2
  }

  /** Says what is to be said, once in a process. @returns what is replied; undefined: nothing was to be said. */
  async speak(say: (message: string) => Promise<Reply>): Promise<Reply | undefined> {
    const { said } = this.#kept
    if (said === null || this.#isSaid) return undefined
    const reply = await say(messageText(said))
    this.#isSaid = true
    return reply
  }

  /**
   * Hears a message, and knows what to say to it.
   * @param masking - the state that the answer was kept with; undefined: none was given yet.
   * @throws FedloraError `E_PROTOCOL`, `E_FORMAT` for what is no right message here: nothing is said to it.
   */
  async hear(number: number, carried: string, masking: string | undefined): Promise<void> {
    if (number <= this.heard) return
    if (number !== this.heard + 1) throw wrong(`message ${number} came after ${this.heard}`)
    const { state } = this.#kept
    const message = messageIn(carried)
    if (number === 1) {
      const step = shareSecrets(state as Entered, message, native())
      await this.#keep({ heard: 1, state: step.state, inbox: null, said: step.message })
    } else if (number === 2) await this.#keep({ heard: 2, state, inbox: message, said: null })
    else if (number === 3) {
      if (masking === undefined) throw wrong('it is told who survived, and has sent nothing')
      const step = signSurvivors(unpack(Buffer.from(masking, 'base64')) as Masking, message)
      await this.#keep({ heard: 3, state: step.state, inbox: null, said: step.message })
    } else if (number === 4 && state !== null) {
      const step = revealShares(state as Signing, message)
      await this.#keep({ heard: 4, state: null, inbox: null, said: step.message })
    } else throw wrong(`there is no message ${number}`)
  }

  /** Takes no further part: what is heard from here on is passed over. */
  async leave(number: number): Promise<void> {
    await this.#keep({ heard: number, state: null, inbox: null, said: null })
  }

  /**
   * Masks an answer. The same vectors give the same bytes.
   * @param weight - whole; what the vectors are summed with.
   */
  mask(task: Task, vectors: Readonly<Vectors>, weight: number): Masked {
    const { state: sharing, inbox } = this.#kept
    const { masked, state } = maskUpdate(sharing as Sharing, inbox, task, vectors, weight)
    return { masked, wordBytes: state.setup.wordBytes, state: pack(state).toString('base64') }
  }
}
