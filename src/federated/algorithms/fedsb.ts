/**
 * Fed-SB: lora_A and lora_B are common and frozen, clients train the core R [r, r] between them, ΔW = s·B·R·A, and nothing but the core
 * travels, down and up: R = Σ pₖ Rₖ, exact, r² numbers a layer whatever its size. The adapter that the federation has come to is (R·A, B).
 *
 * A fresh adapter has lora_B zero: it is drawn then, by the federation's seed, and the core begins at zero; an adapter that is continued begins
 * with R = I. Source: Singhal et al. 2025, "Fed-SB: a silver bullet for extreme communication efficiency and performance in (private)
 * federated LoRA fine-tuning", section 3. Left out: lora_A and lora_B from a singular value decomposition of a first gradient.
 */
import { multiply } from '../../aggregation/factors/algebra.js'
import { fedsb as rule } from '../../aggregation/factors/rules/fedsb.js'
import { withDrawnB } from '../protocol/fresh-adapter.js'
import { gather, partOf, type Space } from '../protocol/space.js'
import type { Algorithm } from './algorithm.js'
import { factorsIn } from './factors.js'
import { difference, sum } from './vectors.js'

const isFresh = (adapter: Float32Array, space: Space) => gather(adapter, partOf(space, 'lora_B')).every((b) => b === 0)

/** The frozen A and B, of the adapter that the federation began with. */
const frozen = (initial: Float32Array, space: Space, seed: number) =>
  isFresh(initial, space) ? withDrawnB(initial, space, seed) : initial

/** The first core: zero, or I beside an adapter that is continued. */
function firstCore(initial: Float32Array, space: Space): Float32Array {
  const diagonal = isFresh(initial, space) ? 0 : 1
  const cores = space.modules.map(({ rank }) =>
    Float32Array.from({ length: rank * rank }, (_, i) => (i % (rank + 1) === 0 ? diagonal : 0)),
  )
  const all = new Float32Array(cores.reduce((length, core) => length + core.length, 0))
  let at = 0
  for (const core of cores) {
    all.set(core, at)
    at += core.length
  }
  return all
}

/** (R·A, B). */
function withCore(factors: Float32Array, core: Float32Array, space: Space): Float32Array {
  const adapter = factors.slice()
  let at = 0
  for (const module of space.modules) {
    const { rank, in: inputs } = module
    const R = core.subarray(at, at + rank * rank)
    adapter.set(multiply(R, factorsIn(factors, module).A, [rank, rank, inputs]), module.A.offset)
    at += R.length
  }
  return adapter
}

export const fedsb: Algorithm = {
  name: rule.name,
  about: 'a small core between frozen factors is all that is trained and travels: exact, the fewest bytes',
  source:
    'Singhal et al. 2025, Fed-SB: a silver bullet for extreme communication efficiency and performance in (private) federated LoRA fine-tuning',
  serverOptimizer: false,
  travels: () => ({}),
  receives: () => [],
  state: ({ adapter, space }) => ({ vectors: { core: firstCore(adapter, space) } }),

  async work(kit) {
    const core = kit.given.core!
    const trained = await kit.train({ from: frozen(kit.given.adapter!, kit.space, kit.seed), core })
    return { trained, vectors: { core: difference(trained.core!, core) } }
  },

  finish(closing) {
    const { state, space, seed } = closing
    state.vectors.core = sum(state.vectors.core!, closing.mean('core'))
    state.vectors.adapter = withCore(frozen(closing.sent(space), space, seed), state.vectors.core, space)
  },
}
