/** What a client has before it works, and the adapter that it is served by: of what the server sent and what it kept. */
import type { Chosen, PersonalKit, Vectors } from '../algorithms/algorithm.js'
import { placeReceived } from '../algorithms/defaults.js'
import type { Task } from '../protocol/messages.js'
import type { Space } from '../protocol/space.js'
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

/** What the server sent, decoded and in its place, and what the client kept. */
export async function openTask(task: Task, home: Home): Promise<PersonalKit> {
  const { chosen, space, initial } = home
  const { algorithm, options } = chosen
  const { client, round, numbers, seed } = task
  const given: Vectors = {}
  for (const [name, message] of Object.entries(task.vectors)) given[name] = decodeVector(message)
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
