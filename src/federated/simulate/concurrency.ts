/**
 * How many clients work at the same time, and how many tokens of several clients share a pass. Without a memory budget as many as asked
 * for; with one, as many as its plan has room for: each client's micro-batches by its own options, together within the smallest budget. What a
 * client recomputes is what it would recompute alone: no bit depends on this.
 */
import type { Adapter } from '../../model/adapter.js'
import { adapterLayers } from '../../model/adapter-options.js'
import type { NativeModel } from '../../native/binding.js'
import { type Extent, largestMicroBatch, passTokens, recomputeLevels } from '../../training/memory.js'
import type { FederationConfig } from '../options.js'
import type { Clients } from './clients.js'
import type { Locals } from './overrides.js'

type Optimizer = FederationConfig['local']['optimizer']

export interface Concurrency {
  concurrency: number
  /** Of a pass that several clients share. */
  mostTokens: number
}

/** The largest pass of `count` of these clients. */
function largestPass(extents: readonly Extent[], count: number, mostTokens: number): Extent {
  const descending = extents.map(({ tokens }) => tokens).sort((a, b) => b - a)
  const all = descending.slice(0, count).reduce((sum, tokens) => sum + tokens, 0)
  const tokens = Math.max(descending[0]!, Math.min(all, mostTokens))
  const longestRow = extents.reduce((most, extent) => Math.max(most, extent.longestRow), 1)
  return { tokens, rows: Math.ceil(tokens / longestRow), longestRow, supervised: tokens }
}

/** @param asked - clients at work at the same time, at most the cohort. */
function fitBudget(
  model: NativeModel,
  adapter: Adapter,
  clients: Clients,
  locals: Locals,
  asked: number,
  privately: boolean,
): Concurrency {
  const layers = adapterLayers(adapter.config, adapter.targets)
  const all = Array.from({ length: clients.length }, (_, index) => locals.of(index))
  const optimizer: Optimizer = all.some((local) => local.optimizer === 'adamw') ? 'adamw' : 'sgd'
  const needed = (
    extent: Extent,
    recompute: (typeof recomputeLevels)[number],
    adapters: number,
    own: Optimizer = optimizer,
  ) => {
    const examples = privately ? { examples: extent.rows } : {} // rows with a gradient each
    return model.plan({ ...extent, ...examples, recompute, optimizer: own, layers, adapters }).total
  }
  const byLevel = recomputeLevels.map((recompute) => ({ recompute, extents: [] as Extent[] }))
  for (const [index, local] of all.entries()) {
    const visits = privately ? { ...local, epochs: 1 } : { ...local, maxSteps: local.steps }
    const extent = largestMicroBatch(clients.data(index), visits)
    const fits = (recompute: (typeof recomputeLevels)[number]) =>
      needed(extent, recompute, 1, local.optimizer) <= (local.memoryBudget ?? Number.POSITIVE_INFINITY)
    // A client that fits with no level at all is refused, by name, when its turn comes.
    byLevel.find(({ recompute }) => fits(recompute))?.extents.push(extent)
  }
  const used = byLevel.filter(({ extents }) => extents.length > 0)
  const budget = Math.min(...all.map((local) => local.memoryBudget ?? Number.POSITIVE_INFINITY))
  for (let concurrency = asked; concurrency > 1; concurrency--) {
    for (const mostTokens of [passTokens, 1]) {
      const fits = ({ recompute, extents }: (typeof used)[number]) =>
        needed(largestPass(extents, concurrency, mostTokens), recompute, concurrency) <= budget
      if (used.every(fits)) return { concurrency, mostTokens }
    }
  }
  return { concurrency: 1, mostTokens: passTokens }
}

export function planConcurrency(
  adapter: Adapter,
  clients: Clients,
  locals: Locals,
  cohort: number,
  config: FederationConfig,
): Concurrency {
  const asked = Math.min(config.concurrency, cohort)
  const unlimited = Array.from({ length: clients.length }, (_, index) => locals.of(index).memoryBudget).every(
    (budget) => budget === undefined,
  )
  if (unlimited || asked === 1) return { concurrency: asked, mostTokens: passTokens }
  return fitBudget(
    adapter.model.handle.use('simulate'),
    adapter,
    clients,
    locals,
    asked,
    config.privacy?.level === 'example',
  )
}
