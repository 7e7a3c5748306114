/** A client of a secure aggregation in few lines, for tests of servers: its work is a draw, and what it says may be changed, or left unsaid. */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { maskUpdate } from '../../../src/federated/client/mask-update.js'
import type { ClientLink } from '../../../src/federated/link/link.js'
import type { Notice, Reply } from '../../../src/federated/link/messages.js'
import { pack } from '../../../src/federated/link/packed.js'
import { messageIn, messageText, type Secure, setupOf } from '../../../src/federated/link/secure.js'
import type { Task } from '../../../src/federated/protocol/messages.js'
import {
  type Entered,
  enter,
  type Masking,
  revealShares,
  type Sharing,
  type Signing,
  type Step,
  shareSecrets,
  signSurvivors,
} from '../../../src/federated/protocol/secagg/client.js'
import type { FromClient, ToClient } from '../../../src/federated/protocol/secagg/messages.js'
import type { ServerPhase } from '../../../src/federated/protocol/secagg/server.js'
import { decodeVector } from '../../../src/federated/vector-message.js'
import { native } from '../../../src/native/load.js'
import type { Key } from './secure-federation.js'
import { drifts, SmallParticipant } from './small-participant.js'

/** What is said in the place of a message; undefined: nothing. */
export type Change = (message: FromClient, round: number) => FromClient | string | undefined

export class MaskingParticipant extends SmallParticipant {
  readonly key: Key
  change: Change = (message) => message
  /** What it is told in the place of a message. */
  tells: (message: ToClient) => ToClient = (message) => message
  #state: Entered | Sharing | Masking | Signing | undefined
  #work: (Notice & { type: 'work' }) | undefined
  /** Replies to what it has said, by round and phase. */
  readonly told: { round: number; phase: ServerPhase; reply: Reply }[] = []
  /** Every secret that it has drawn. */
  readonly secrets: Uint8Array[] = []
  /** Messages of the server as they came. */
  readonly notices: (Notice & { type: 'secure' })[] = []
  /** Why it has left a round. */
  readonly faults: string[] = []

  constructor(name: string, link: ClientLink, key: Key) {
    super(name, link, drifts)
    this.key = key
  }

  async #say(round: number, message: FromClient): Promise<void> {
    const changed = this.change(message, round)
    if (changed === undefined) return
    const text = typeof changed === 'string' ? changed : messageText(changed)
    const reply = await this.ask((signal) => this.link.say({ type: 'secure', round, message: text }, signal))
    this.told.push({ round, phase: message.type, reply })
  }

  async #step<S extends Entered | Sharing | Signing>(round: number, step: () => Step<S, FromClient>): Promise<void> {
    const { state, message } = step()
    this.#state = state
    await this.#say(round, message)
  }

  async #begin(notice: Notice & { type: 'work' }): Promise<void> {
    const { setup, client } = setupOf(notice.secure as Secure)
    this.#work = notice
    this.known.working = notice.round
    this.known.heard = 0
    await this.#step(notice.round, () => {
      const step = enter({ ...setup, length: 1 }, client, this.key.identity)
      const { sealing, mask, seed } = step.state.secrets
      this.secrets.push(sealing, mask, seed)
      return step
    })
  }

  async #answerMasked(round: number, inbox: unknown): Promise<void> {
    const { offer } = this.#work!
    const vectors: Record<string, Uint8Array> = {}
    for (const [name, ref] of Object.entries(offer.vectors)) vectors[name] = await this.fetch(ref)
    const task: Task = { ...offer, vectors }
    const answer = await drifts(task)
    const update = { adapter: decodeVector(answer.vectors.adapter!) }
    const { masked, state } = maskUpdate(this.#state as Sharing, inbox, task, update, answer.rows)
    this.#state = state
    const changed = this.change(masked.message, round)
    if (changed === undefined) return
    const { path, manifest } = await this.prepare({ ...answer, vectors: {} })
    const bytes = typeof changed === 'string' ? Buffer.from(changed, 'base64') : pack(changed)
    await writeFile(path, bytes)
    const blob = { blob: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length }
    const reply = await this.answer(round, { path, manifest: { ...manifest, masked: masked.vectors, blob } })
    this.told.push({ round, phase: 'masked', reply })
  }

  async #hear({ round, number, message }: Notice & { type: 'secure' }): Promise<void> {
    const inner = this.tells(messageIn(message) as ToClient)
    this.known.heard = number
    try {
      if (number === 1) await this.#step(round, () => shareSecrets(this.#state as Entered, inner, native()))
      if (number === 2) await this.#answerMasked(round, inner)
      if (number === 3) await this.#step(round, () => signSurvivors(this.#state as Masking, inner))
      if (number === 4) await this.#say(round, revealShares(this.#state as Signing, inner).message)
    } catch (error) {
      this.faults.push(String((error as Error).message))
    }
  }

  override async act(notice: Notice): Promise<boolean> {
    if (notice.type === 'secure') this.notices.push(notice)
    if (notice.type === 'secure') await this.#hear(notice)
    else if (notice.type === 'work') await this.#begin(notice)
    else return await super.act(notice)
    return true
  }
}
