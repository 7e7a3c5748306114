/** The work of one client in one round: a task comes in, the algorithm's client part runs over it, an answer goes out. */
import { FedloraError, isFedloraError } from '../../errors.js'
import type { ClientKit, Vectors } from '../algorithms/algorithm.js'
import { travelOf, workOf } from '../algorithms/defaults.js'
import { clipTogether } from '../clipping.js'
import { sendsDeltas } from '../download-options.js'
import type { FederationConfig } from '../options.js'
import { type Answer, messageVersion, type Task } from '../protocol/messages.js'
import { type Home, openTask, receive, receivedName } from './personal.js'
import { Trainer, type Workplace } from './trainer.js'
import { chooseForMask, encodeUpload, feedsBack, type Sending } from './upload.js'

export type { Sending }

/** Changes what a client sends, before it is encoded. The vectors given are not changed; a name may not come or go. */
export type Outgoing = (vectors: Readonly<Vectors>, about: Sending) => Vectors | Promise<Vectors>

/** What a client of a federation has beside the task. */
export interface ClientPlace extends Workplace, Home {
  upload: FederationConfig['upload']
  download: FederationConfig['download']
  /** Applied in order to what the client's work gave. */
  outgoing: readonly Outgoing[]
  /** Masks what is sent, where updates travel masked. */
  mask?: ((answer: Answer, vectors: Readonly<Vectors>) => NonNullable<Answer['masked']>) | undefined
  /** Runs what must take its turn among clients that work side by side. */
  inTurn<R>(work: () => Promise<R>): Promise<R>
}

export interface Worked {
  answer: Answer
  /** What was sent, before encoding. */
  vectors: Vectors
  /** Its adapter after its work. */
  trained: Float32Array
  /** Seconds of the machine. */
  seconds: { train: number; encode: number }
}

/** The task as the algorithm's client part sees it. */
async function kitOf(task: Task, place: ClientPlace, trainer: Trainer): Promise<ClientKit> {
  const { chosen, space, data, local } = place
  const { round, rounds, seed, learningRate } = task
  return {
    ...(await openTask(task, place)),
    round,
    rounds,
    seed,
    learningRate,
    rows: data.length,
    travels: travelOf(chosen, { space, round }),
    local,
    get steps() {
      return trainer.steps
    },
    train: (plan) => trainer.train(plan),
    zeroth: (plan) => trainer.zeroth(plan),
    gradient: (values) => trainer.gradient(values),
    rowLosses: (values) => trainer.rowLosses(values),
  }
}

/** @throws FedloraError `E_CONFIG` for what the client could not read again. */
function checkKept({ name, keeps = [] }: ClientPlace['chosen']['algorithm'], keep: Readonly<Vectors>): void {
  const unknown = Object.keys(keep).find((kept) => !keeps.includes(kept))
  if (unknown === undefined) return
  const message = `algorithm ${name}: a client keeps '${unknown}'; its record must name it in keeps: [${[...keeps, unknown].map((kept) => `'${kept}'`).join(', ')}]`
  throw new FedloraError('E_CONFIG', message, { vector: unknown })
}

async function changed(vectors: Vectors, about: Sending, { outgoing }: ClientPlace) {
  let sent = vectors
  for (const change of outgoing) sent = await change(sent, about)
  return sent
}

async function work(task: Task, place: ClientPlace): Promise<Worked> {
  const { chosen, space, upload, own, data } = place
  const { client, round, seed } = task
  const trainer = new Trainer(place, task)
  const { trained, vectors: given, numbers = {}, keep = {} } = await workOf(chosen, await kitOf(task, place, trainer))
  checkKept(chosen.algorithm, keep)
  if (sendsDeltas(place.download)) await own?.write(client, receivedName, round, await receive(task, place))
  const { loss, steps, tokens } = trained
  const answer: Answer = {
    version: messageVersion,
    round,
    client,
    rows: data.length,
    steps,
    tokens,
    loss,
    vectors: {},
    numbers: {},
  }
  const seconds = { train: trainer.seconds, encode: 0 }
  // Without a supervised token there was nothing to learn: nothing is sent or kept, and the residual waits for a later round.
  if (loss === null) return { answer, vectors: {}, trained: trained.values, seconds }
  const about: Sending = { client, round, seed, space, travels: travelOf(chosen, { space, round }) }
  const { clip } = task
  const vectors = await changed(clip === undefined ? given : clipTogether(given, clip), about, place)
  await place.inTurn(async () => {
    const started = performance.now()
    const rest = feedsBack(upload, chosen) ? own : undefined
    if (place.mask === undefined) {
      for (const [name, update] of Object.entries(vectors)) {
        const segment = name in about.travels ? task.segment : undefined
        answer.vectors[name] = await encodeUpload(name, update, about, upload, rest, segment)
      }
    } else {
      const chosen: Vectors = {}
      for (const [name, update] of Object.entries(vectors)) {
        chosen[name] = await chooseForMask(name, update, about, upload, rest)
      }
      answer.masked = place.mask(answer, chosen)
    }
    for (const [name, values] of Object.entries(keep)) await own?.write(client, name, round, values)
    for (const [name, list] of Object.entries(numbers)) answer.numbers[name] = [...list]
    seconds.encode = (performance.now() - started) / 1000
  })
  return { answer, vectors, trained: trained.values, seconds }
}

/** @throws FedloraError of the work, naming round and client; the signal's reason. */
export async function workOn(task: Task, place: ClientPlace): Promise<Worked> {
  try {
    return await work(task, place)
  } catch (error) {
    if (!isFedloraError(error)) throw error
    const { round, client } = task
    const details = { ...error.details, round, client }
    throw new FedloraError(error.code, `round ${round}, client ${client}: ${error.message}`, details, error)
  }
}
