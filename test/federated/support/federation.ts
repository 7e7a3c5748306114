/** A small federation over a golden model, for tests. */
import type { Dataset } from '../../../src/data/index.js'
import type { RoundEvent } from '../../../src/federated/events.js'
import { type SimulateOptions, simulate } from '../../../src/federated/simulate/simulate.js'
import type { Model } from '../../../src/model/model.js'
import { linesOf } from '../../support/run-folder.js'
import { tokenRows } from '../../support/train.js'

export const lora = { rank: 4, alpha: 8, seed: 2 }

/** Clients of different sizes and contents. */
export async function makeClients(count: number): Promise<Dataset[]> {
  return await Promise.all(Array.from({ length: count }, (_, i) => tokenRows(5 + ((i * 3) % 7), 263, 17 * i)))
}

export type Variation = Partial<Omit<SimulateOptions, 'model' | 'clients'>>

/** Options of a federation in which everything is switched on: cohorts, drop-outs, error feedback, momentum on the server. */
export async function federation(
  model: Model,
  variation: Variation = {},
): Promise<SimulateOptions & { clients: Dataset[] }> {
  return {
    model,
    adapter: lora,
    clients: await makeClients(6),
    rounds: 5,
    cohort: 4,
    local: { steps: 2, batchSize: 2, learningRate: 1e-2, schedule: 'cosine' },
    upload: { codec: 'topk', density: 1 / 8, bits: 4 },
    serverOptimizer: 'momentum',
    absence: 0.2,
    seed: 11,
    evaluate: { data: await tokenRows(4, 263, 9), every: 2 },
    ...variation,
  }
}

/** Runs a federation: its rounds, its result, and the vector that it came to. */
export async function outcomeOf(options: SimulateOptions) {
  const rounds: RoundEvent[] = []
  const run = simulate(options)
  for await (const event of run) if (event.type === 'round') rounds.push(event)
  const { adapter, ...result } = await run
  using trained = adapter
  return { rounds, result, vector: trained.vector() }
}

/** Values without what differs from run to run: times, speeds, memory, places. */
export function timeless(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(timeless)
  if (typeof value !== 'object' || value === null) return value
  const changing = new Set([
    'seconds',
    'trainSeconds',
    'tokensPerSecond',
    'peakBytes',
    'concurrency',
    'adapter',
    'folder',
    'origin',
    'time',
  ])
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !changing.has(key))
      .map(([key, inner]) => [key, timeless(inner)]),
  )
}

/** The event log of a run folder without times. */
export function eventsOf(folder: string): unknown[] {
  return linesOf(folder).map(timeless)
}

/** Values without what the order of the list decides: places in it, and the order of what is told by place. */
export function nameless(value: unknown): unknown {
  if (Array.isArray(value)) {
    const named = value.every((item) => typeof item === 'object' && item !== null && 'name' in item)
    const all = value.map(nameless) as { name: string }[]
    return named ? all.sort((a, b) => (a.name < b.name ? -1 : 1)) : all
  }
  if (typeof value !== 'object' || value === null) return value
  const places = new Set(['client', 'dropped', 'selected'])
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !places.has(key))
      .map(([key, inner]) => [key, nameless(inner)]),
  )
}
