/** What an algorithm does that says nothing else: FedAvg's part of everything. */
import { gather, lengthOf, type Ranges, scatter, whole } from '../protocol/space.js'
import type { Chosen, ClientKit, Closing, Sent, Trained, Travel, Turn, Vectors, Weighting } from './algorithm.js'
import { difference, sum } from './vectors.js'

/** Of an answer. */
type Counts = { readonly rows: number; readonly tokens: number }

export function travelOf({ algorithm, options }: Chosen, turn: Turn): Travel {
  return algorithm.travels?.(turn, options) ?? { adapter: whole(turn.space) }
}

export function receivedOf({ algorithm, options }: Chosen, turn: Turn): Ranges {
  return algorithm.receives?.(turn, options) ?? whole(turn.space)
}

/** The adapter that a client was given: the parts that did not travel are as the federation began. */
export function placeReceived(chosen: Chosen, turn: Turn, initial: Float32Array, received: Float32Array): Float32Array {
  const ranges = receivedOf(chosen, turn)
  if (lengthOf(ranges) === turn.space.length) return received
  const adapter = initial.slice()
  scatter(adapter, ranges, received)
  return adapter
}

/** All elements that travel, in ascending order. */
export function rangesOfTravel(travels: Travel): Ranges {
  return Object.values(travels)
    .flat()
    .sort(([a], [b]) => a - b)
}

/**
 * What an answer counts by in means.
 * @param asked - the federation's option; the algorithm's own comes first.
 */
export function weightOf({ algorithm }: Chosen, asked: Weighting | undefined, { rows, tokens }: Counts): number {
  const by: Weighting = algorithm.weighting ?? asked ?? 'rows'
  return by === 'rows' ? rows : by === 'tokens' ? tokens : 1
}

/** The updates of what travels, by name. */
export function updatesOf(travels: Travel, before: Float32Array, after: Float32Array): Vectors {
  const update = difference(after, before)
  return Object.fromEntries(Object.entries(travels).map(([name, ranges]) => [name, gather(update, ranges)]))
}

/** Adds decoded updates of what travels to `adapter`, in place. */
export function addUpdates(travels: Travel, adapter: Float32Array, updates: Readonly<Vectors>): void {
  for (const [name, ranges] of Object.entries(travels)) {
    const update = updates[name]
    if (update === undefined) continue
    scatter(adapter, ranges, sum(gather(adapter, ranges), update))
  }
}

export async function trainAndSend(
  kit: ClientKit,
  plan: Partial<Parameters<ClientKit['train']>[0]> = {},
): Promise<Sent> {
  const from = kit.given.adapter!
  const trained = await kit.train({ from, trainable: rangesOfTravel(kit.travels), ...plan })
  return { trained, vectors: updatesOf(kit.travels, from, trained.values) }
}

export function stepByMeans(closing: Closing): void {
  for (const [name, ranges] of Object.entries(closing.travels)) closing.step(closing.mean(name), ranges)
}

/** Whether answers to earlier states of the server may count. */
export const isAsynchronous = ({ algorithm: { asynchronous, needs, finish } }: Chosen): boolean =>
  asynchronous ?? (needs !== 'all' && finish === undefined)

export async function workOf({ algorithm, options }: Chosen, kit: ClientKit): Promise<Sent> {
  return await (algorithm.work?.(kit, options) ?? trainAndSend(kit))
}

export async function finishOf({ algorithm, options }: Chosen, closing: Closing): Promise<void> {
  if (algorithm.finish === undefined) stepByMeans(closing)
  else await algorithm.finish(closing, options)
}

/** Several trainings as one: losses weighted by tokens. */
export function together(trainings: readonly Trained[], values: Float32Array): Trained {
  const total = (of: (trained: Trained) => number) => trainings.reduce((all, trained) => all + of(trained), 0)
  const learnt = trainings.filter(({ loss }) => loss !== null)
  const tokens = learnt.reduce((all, trained) => all + trained.tokens, 0)
  const loss = learnt.length === 0 ? null : learnt.reduce((all, t) => all + t.loss! * t.tokens, 0) / tokens
  return {
    values,
    loss,
    steps: total(({ steps }) => steps),
    updates: total(({ updates }) => updates),
    tokens: total(({ tokens }) => tokens),
  }
}
