/**
 * Every client's rows are a mixture of M distributions that all clients have in common: M shared adapters, and for each client how much of
 * each it has. A round alternates between whose row is whose, and training each adapter on its rows:
 *
 *   qᵢₘ = πₘ·exp(−lᵢₘ) / Σ πₘ′·exp(−lᵢₘ′),   πₘ ← mean of qᵢₘ over i,   θₖₘ: local steps on rows weighted by qᵢₘ;   θₘ ← Σ pₖ θₖₘ
 *
 * lᵢₘ: the loss of row i, summed over its supervised tokens, so that exp(−lᵢₘ) is the probability of the row. Components begin as the same
 * function and as different points: where B is zero, the columns of A are turned round by m·in/M places.
 *
 * Source: Marfoq et al. 2021, "Federated multi-task learning under a mixture of distributions", algorithm 1.
 */
import { z } from 'zod'
import type { Space } from '../protocol/space.js'
import type { Algorithm, ClientKit, Trained, Vectors } from './algorithm.js'
import { together } from './defaults.js'
import { responsibilities } from './mixture.js'
import { difference, sum } from './vectors.js'

const options = z.strictObject({
  components: z.int().min(2).default(3).describe('M: adapters that all clients share'),
})

/** The server's vector of a component: the first is 'adapter'. */
const nameOf = (component: number) => (component === 0 ? 'adapter' : `component${component}`)

/** Component m of M as the federation begins. */
function beginning(adapter: Float32Array, space: Space, m: number, M: number): Float32Array {
  const turned = adapter.slice()
  for (const { A, B, in: inputs } of space.modules) {
    if (adapter.subarray(B.offset, B.offset + B.length).some((value) => value !== 0)) continue
    const places = Math.floor((m * inputs) / M)
    for (let row = A.offset; row < A.offset + A.length; row += inputs) {
      turned.set(adapter.subarray(row, row + inputs - places), row + places)
      turned.set(adapter.subarray(row + inputs - places, row + inputs), row)
    }
  }
  return turned
}

const indices = (M: number) => Array.from({ length: M }, (_, m) => m)

/** How much of each component a client has: alike before its first round. */
const mixtureOf = (own: Partial<Vectors>, M: number): readonly number[] =>
  own.mixture === undefined ? new Array<number>(M).fill(1 / M) : [...own.mixture]

const heaviest = (mixture: readonly number[]) => mixture.indexOf(Math.max(...mixture))

/**
 * The M-step of one component. A step divides by the weights of its rows; a rate in proportion to the client's share of the component makes
 * it as long as the paper's, so that nobody moves what he has hardly anything of.
 */
async function trainComponent(kit: ClientKit, from: Float32Array, m: number, q: Float64Array, share: number) {
  const learningRate = kit.learningRate * share
  if (!(learningRate > 0)) return { values: from, loss: null, steps: 0, updates: 0, tokens: 0 }
  return await kit.train({ from, learningRate, weightOf: (row) => q[row]!, label: m === 0 ? 'work' : nameOf(m) })
}

/** Σ πₘ·lossₘ over the components that learnt something; null when none did. */
function mixedLoss(trained: readonly Trained[], mixture: readonly number[]): number | null {
  const learnt = trained.flatMap(({ loss }, m) => (loss === null ? [] : [[loss, mixture[m]!] as const]))
  const shares = learnt.reduce((sum, [, share]) => sum + share, 0)
  return shares > 0 ? learnt.reduce((sum, [loss, share]) => sum + loss * share, 0) / shares : null
}

export const fedem: Algorithm<z.output<typeof options>> = {
  name: 'fedem',
  about: 'clients are mixtures of a few kinds: an adapter for each kind, and shares of them for each client',
  source: 'Marfoq et al. 2021, Federated multi-task learning under a mixture of distributions',
  looksAgain: true,
  options,
  serverOptimizer: false,
  keeps: ['mixture'],
  state({ adapter, space }, { components }) {
    const others = indices(components).slice(1)
    const vectors = others.map((m) => [nameOf(m), beginning(adapter, space, m, components)])
    return { vectors: Object.fromEntries(vectors) as Vectors }
  },
  async work(kit, { components }) {
    const all = indices(components).map((m) => kit.given[nameOf(m)]!)
    const losses: Float64Array[] = []
    for (const values of all) losses.push(await kit.rowLosses(values))
    const { q, mixture } = responsibilities(losses, mixtureOf(kit.own, components))
    const trained: Trained[] = []
    for (const [m, from] of all.entries()) trained.push(await trainComponent(kit, from, m, q[m]!, mixture[m]!))
    const updates = trained.map(({ values }, m) => [nameOf(m), difference(values, all[m]!)])
    return {
      trained: { ...together(trained, trained[0]!.values), loss: mixedLoss(trained, mixture) },
      vectors: Object.fromEntries(updates) as Vectors,
      keep: { mixture: Float32Array.from(mixture) },
    }
  },
  finish({ state, mean }, { components }) {
    for (const name of indices(components).map(nameOf)) state.vectors[name] = sum(state.vectors[name]!, mean(name))
  },
  /** The component that the client has most of. */
  personal: ({ own, given }, { components }) => given[nameOf(heaviest(mixtureOf(own, components)))]!,
  mixture: ({ own, given }, { components }) => {
    const weights = mixtureOf(own, components)
    return { weights, adapters: weights.map((_, m) => given[nameOf(m)]!) }
  },
}
