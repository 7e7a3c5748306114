/** What a client has before it works, and the adapter that it is served by: of what the server sent and what it kept. */
import type { Chosen, PersonalKit, Vectors } from '../algorithms/algorithm.js'
import { placeReceived, receivedOf } from '../algorithms/defaults.js'
import { sum } from '../algorithms/vectors.js'
import { deltaName, deltasOf, type Task } from '../protocol/messages.js'
import { gather, lengthOf, type Space } from '../protocol/space.js'
import { decodeVector } from '../vector-message.js'
import type { OwnState } from './own-state.js'

/** What is needed to open a task. */
export interface Home {
  chosen: Chosen
  space: Space
  /** The adapter that the federation began with, at the client's ranks. */
  initial: Float32Array
  own: OwnState | undefined
}

async function ownVectors({ chosen, own }: Home, client: string): Promise<Partial<Vectors>> {
  const kept: Partial<Vectors> = {}
  for (const name of chosen.algorithm.keeps ?? []) {
    const values = await own?.read(client, name)
    if (values !== undefined) kept[name] = values
  }
  return kept
}

/** Under which name a client keeps what it received of the adapter, where the server sends differences to it. */
export const receivedName = 'received'

/** What the client has received of the adapter after a task: sent whole, or what it held and the differences since. */
export async function receive(task: Task, { chosen, space, initial, own }: Home): Promise<Float32Array> {
  const { client, round, vectors } = task
  if (vectors.adapter !== undefined) return decodeVector(vectors.adapter)
  const ranges = receivedOf(chosen, { space, round })
  let received = (await own?.read(client, receivedName, lengthOf(ranges))) ?? gather(initial, ranges)
  for (const at of deltasOf(task)) received = sum(received, decodeVector(vectors[deltaName(at)]!))
  return received
}

/** What the server sent, decoded and in its place, and what the client kept. */
export async function openTask(task: Task, home: Home): Promise<PersonalKit> {
  const { chosen, space, initial } = home
  const { algorithm, options } = chosen
  const { client, round, numbers, seed } = task
  const deltas = deltasOf(task)
  const given: Vectors = {}
  for (const [name, message] of Object.entries(task.vectors)) {
    if (!deltas.some((at) => name === deltaName(at))) given[name] = decodeVector(message)
  }
  if (deltas.length > 0) given.adapter = await receive(task, home)
  given.adapter =
    algorithm.rebuild === undefined
      ? placeReceived(chosen, { space, round }, initial, given.adapter!)
      : await algorithm.rebuild({ seed, initial, given, numbers }, options)
  return { client, space, initial, given, numbers, own: await ownVectors(home, client) }
}

/** The adapter that a client is served by: its own, or the one it is given when the algorithm knows no other. */
export function servedBy({ algorithm, options }: Chosen, kit: PersonalKit): Float32Array {
  return algorithm.personal?.(kit, options) ?? kit.given.adapter!
}
