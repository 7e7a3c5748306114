/** A client of a simulation at work on what the server asks of it in a round. */
import type { Stepper } from '../../training/stepper.js'
import { receivedName } from '../client/personal.js'
import { workOn } from '../client/work.js'
import type { ClientReport } from '../events.js'
import type { Answer } from '../protocol/messages.js'
import { sizeOf } from '../protocol/secagg/messages.js'
import { rateOf } from '../rate.js'
import type { Done } from './answer-file.js'
import type { Slot } from './spaces.js'
import type { RoundTools } from './tools.js'

/** What clients that work side by side share. */
export interface Side {
  round: number
  stepper: Stepper
  inTurn<R>(work: () => Promise<R>): Promise<R>
  signal: AbortSignal
}

const bytesOfNumbers = ({ numbers }: Answer) => 8 * Object.values(numbers).reduce((sum, list) => sum + list.length, 0)

/** Bytes of an answer's messages and numbers. */
export function bytesUpOf(answer: Answer): number {
  const open = Object.values(answer.vectors).reduce((sum, message) => sum + message.length, 0)
  return (answer.masked === undefined ? open : sizeOf(answer.masked.message)) + bytesOfNumbers(answer)
}

/** An answer as it is reported. */
export function reportOf(
  { clients, attackers }: Pick<RoundTools, 'clients' | 'attackers'>,
  answer: Answer,
  index: number,
): ClientReport {
  const { client: name, rows, loss, steps, tokens } = answer
  const attacker = attackers.of(index)
  const lies = attacker && { attack: attacker.attack }
  return { client: clients.place(index), name, rows, loss, steps, tokens, bytesUp: bytesUpOf(answer), ...lies }
}

/** The round whose adapter a client holds; 0: the one that the federation began with, which everyone can make itself. */
const versionOf = ({ own, clients }: RoundTools, index: number) => own?.roundOf(clients.name(index), receivedName) ?? 0

/** What travels to the client of `index` in a round. */
export const broadcastTo = (tools: RoundTools, index: number, round: number) =>
  tools.server.broadcast(tools.spaces.of(index), round, versionOf(tools, index))

/** What the client of `index` makes of its task, and the machine's seconds for it. */
export async function clientWork(
  tools: RoundTools,
  index: number,
  slot: Slot,
  { round, ...side }: Side,
): Promise<{ done: Done; seconds: { train: number; encode: number } }> {
  const { config, chosen, clients, attackers, locals, spaces, server, own, outgoing, masked } = tools
  const attacker = attackers.of(index)
  const space = spaces.of(index)
  const local = locals.of(index)
  const rate = rateOf(config, round, local.learningRate)
  const task = server.task(clients.name(index), space, round, rate, versionOf(tools, index))
  const { vectors, trained, seconds, ...worked } = await workOn(task, {
    chosen,
    space,
    initial: server.initialFor(space),
    data: clients.data(index),
    adapter: slot.in(space),
    local,
    privacy: tools.work?.[index],
    upload: config.upload,
    download: config.download,
    mask: masked && ((given, vectors) => masked.mask(task.client, vectors, server.weightOf(given))),
    outgoing: attacker === undefined ? outgoing : [...outgoing, ...attacker.outgoing],
    own,
    ...side,
  })
  const answer = attacker?.forged(worked.answer) ?? worked.answer
  const bytesUpRaw = Object.values(vectors).reduce((sum, vector) => sum + vector.byteLength, bytesOfNumbers(answer))
  return { done: { answer, vectors, trained, bytesUpRaw }, seconds }
}
