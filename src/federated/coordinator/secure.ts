/**
 * The server's half of a round's secure aggregation on a link. What clients say is judged over the masked sum, written down, and only then so; what they
 * are told is what ending a phase gives, a function of the journal: a server that is opened again tells the same bytes, and asks of a peer for
 * its seed or its mask key by the one set of survivors that was written down.
 */
import { createHash } from 'node:crypto'
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Known, Notice, Reply } from '../link/messages.js'
import { type Agreed, agreedIn, agreedOf, messageIn, messageText, type Secure, secureOf } from '../link/secure.js'
import type { ToClient } from '../protocol/secagg/messages.js'
import type { ServerPhase } from '../protocol/secagg/server.js'
import type { MaskedSum } from '../server/masked-sum.js'
import { isPhaseOver, phases, type SecureState, type SpokenPhase, silentIn, underWay } from './secure-state.js'
import { mostFor } from './secure-terms.js'
import type { State } from './state.js'
import type { Tools } from './tools.js'

const taken: Reply = { type: 'taken' }
const refusal = (code: string, why: string): Reply => ({ type: 'refused', code, why })

/** What a phase other than the work may take by itself, of the time for the work. */
const phaseShare = 0.1

/** Characters that a message may have, and more of them for each peer: a sealed share is 170 of them. */
const messageChars = { any: 4096, peer: 256 }

export class SecureRounds {
  readonly #tools: Tools
  readonly #masked: MaskedSum | undefined
  /** What clients were told in the round, message after message, by name. */
  #told: ReadonlyMap<string, ToClient>[] = []

  /** @param masked - undefined: updates travel openly. */
  constructor(tools: Tools, masked: MaskedSum | undefined) {
    this.#tools = tools
    this.#masked = masked
  }

  get #state(): State {
    return this.#tools.book.state
  }

  // ----------------------------------------------------------------------------------------------------------------- the round begins

  /** Of those who would be asked, how many can be. */
  most(clients: number): number {
    const { federation } = this.#tools.config
    const { secureAggregation } = federation
    if (secureAggregation === undefined) return clients
    return mostFor({ ...federation, secureAggregation }, this.#tools.setup.chosen, clients).clients
  }

  /** What a round agrees on; undefined: updates travel openly. */
  agree(clients: readonly string[]): Agreed | undefined {
    const { config, setup, random } = this.#tools
    const { secureAggregation } = config.federation
    if (secureAggregation === undefined) return undefined
    const { terms } = mostFor({ ...config.federation, secureAggregation }, setup.chosen, clients.length)
    const { members, description } = this.#state
    const identities = [...clients].sort().map((name) => Buffer.from(members.get(name)!.key, 'base64url'))
    return agreedOf({ ...terms, run: Buffer.from(description!.run, 'hex'), round: random(16), identities })
  }

  /** What a client is told of it with its work. */
  offerTo(client: string): Secure | undefined {
    const secure = this.#state.current?.secure
    return secure && secureOf(agreedIn(secure.agreed), secure.names.indexOf(client))
  }

  /** Seconds that a phase has; null: it waits for ever. */
  secondsOf(phase: ServerPhase | 'done'): number | null {
    const { deadline, phaseDeadline } = this.#tools.config.clients
    if (phase === 'done') return null
    if (phase === 'masked' || phaseDeadline !== undefined) return phase === 'masked' ? deadline : phaseDeadline!
    return deadline === null ? null : phaseShare * deadline
  }

  // ------------------------------------------------------------------------------------------------------- from the journal to the sum

  /** The round's beginning once more, up to where answers are added. */
  beginAgain(): void {
    const { secure } = this.#state.current!
    this.#told = []
    if (secure === undefined) return
    this.#masked!.open(agreedIn(secure.agreed), secure.names)
    this.#hearAgain(secure, ['keys', 'shares'])
  }

  /** What came after the answers once more. */
  endAgain(): void {
    const { secure } = this.#state.current!
    if (secure !== undefined) this.#hearAgain(secure, ['masked', 'signed', 'revealed'])
  }

  #hearAgain(secure: SecureState, some: readonly ServerPhase[]): void {
    const now = secure.phase === 'done' ? phases.length : phases.indexOf(secure.phase)
    for (const phase of some) {
      if (this.#masked!.phase !== phase) return
      for (const [client, message] of secure.said[phase as SpokenPhase] ?? []) {
        this.#masked!.hear(client, messageIn(message))
      }
      if (phases.indexOf(phase) < now) this.#close()
    }
  }

  /** The sum's phase ends. The last one's end belongs to the step that is made of the sum. */
  #close(): void {
    if (this.#masked!.phase === 'revealed') return
    const { names } = this.#state.current!.secure!
    this.#told.push(new Map(this.#masked!.close().map((message) => [names[message.client]!, message])))
  }

  // ------------------------------------------------------------------------------------------------------------------ the round goes on

  /** Ends the phase under way, if nothing more is waited for in it. */
  async endPhase(): Promise<boolean> {
    const { book, now, waiters } = this.#tools
    const at = now()
    if (!isPhaseOver(this.#state, at)) return false
    const { rounds, current } = this.#state
    const phase = underWay(this.#state)!.phase as ServerPhase
    const abandoned = phase === 'revealed' ? undefined : this.#masked!.shortage
    const seconds = this.secondsOf(phases[phases.indexOf(phase) + 1] ?? 'done')
    const deadline = seconds === null ? null : at + 1000 * seconds
    await book.append({
      ...{ type: 'phase', at, round: rounds.round, phase, deadline },
      ...(abandoned !== undefined && { abandoned }),
    })
    this.#close()
    waiters.wake(current!.begun.clients)
    return true
  }

  /** What a client has not heard of yet; undefined: nothing. */
  noticeFor(client: string, { working, heard }: Known): Notice | undefined {
    const { round } = this.#state.rounds
    if (working !== round || underWay(this.#state) === undefined) return undefined
    const message = this.#told[heard]?.get(client)
    return message && { type: 'secure', round, number: heard + 1, message: messageText(message) }
  }

  /** @throws FedloraError `E_TOO_LARGE` for what is longer than any message of so many peers. */
  #checkSize(client: string, message: string): void {
    const { agreed, names } = this.#state.current!.secure!
    const most = messageChars.any + messageChars.peer * Math.min(agreed.neighbours, names.length - 1)
    if (message.length <= most) return
    const text = `secure aggregation: a message of client ${client} may have ${most} characters, got ${message.length}`
    throw new FedloraError('E_TOO_LARGE', text, { client, most })
  }

  /** Takes what a client says. A message that the protocol has no room for is refused; of one that is not made in good faith the journal knows why. */
  async hear(client: string, round: number, message: string): Promise<Reply> {
    const { book, now, tell } = this.#tools
    if (this.#masked === undefined) return refusal('E_PROTOCOL', 'updates of this federation travel openly')
    const digest = createHash('sha256').update(message).digest('hex')
    const { current, rounds, members } = this.#state
    const secure = current?.secure
    const { last } = members.get(client)!
    const closed = (why: string) => refusal('E_ROUND_CLOSED', `round ${round}, client ${client}: ${why}`)
    if (secure === undefined || round !== rounds.round) return closed('it is over, or has not begun')
    if (Object.values(secure.said).some((said) => said.get(client) === message)) return taken
    if (last?.round === round && last.digest === digest && last.refused !== undefined)
      return refusal(last.refused.code, last.refused.why)
    const phase = underWay(this.#state)?.phase as SpokenPhase | undefined
    if (phase !== undefined && secure.said[phase]?.has(client))
      return refusal('E_ALREADY_COUNTED', `client ${client} has said something else in '${phase}', which stands`)
    if (!silentIn(this.#state).includes(client)) return closed(`nothing is waited for of it in '${phase ?? 'done'}'`)
    try {
      this.#checkSize(client, message)
      this.#masked.check(client, messageIn(message))
    } catch (error) {
      if (!isFedloraError(error)) throw error
      const { code, message: why } = error
      // Before its work it is out of the round; after it its answer counts, and it is as one that says nothing.
      if (phase === 'keys' || phase === 'shares')
        await book.append({ type: 'refused', at: now(), round, client, digest, code, why })
      else tell({ type: 'refused', name: client, round, code, message: why })
      return refusal(code, why)
    }
    await book.append({ type: 'said', at: now(), round, client, phase: phase!, message })
    this.#masked.hear(client, messageIn(message))
    return taken
  }
}
