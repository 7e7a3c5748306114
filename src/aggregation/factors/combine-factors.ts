/** The door to all rules for LoRA factors: for transports of one's own, and for looking at what a rule does. */
import { aggregationError, denseProduct, leadingRanks, singularValues } from './algebra.js'
import { type CombineFactorsInput, checkClient, checkInput, findModule, findRule } from './check.js'
import type { Combined, FactorRule, Factors, ModuleUpdates, Server } from './rule.js'
import type { FactorRuleName } from './rules.js'

/** What a rule made of the factors of all clients. */
export interface CombinedFactors {
  /** ‖ΔW_server − Σ p_k s_k B_k A_k‖ / ‖Σ p_k s_k B_k A_k‖ over all modules; 0 when both are zero. */
  readonly aggregationError: number
  /** ΔW of the server, dense [out · in], row-major; a new array. */
  delta(module: string): Float64Array
  /** ΔW that a client starts from: cut to its rank where the rule cuts, its own where the rule keeps a factor at home. */
  deltaFor(module: string, client: number): Float64Array
  /**
   * min(out, in) singular values, descending: of what the rule decomposes, before truncation (`fedsvd`: of B·A, without the scale), or of
   * the server's ΔW.
   */
  singularValues(module: string): Float64Array
  /** The server's pair: ΔW = scaling·B·A (+ the residual's B·A), A [rank, in], B [out, rank], row-major. */
  factors(module: string): {
    A: Float64Array
    B: Float64Array
    residual?: { A: Float64Array; B: Float64Array }
  }
}

/** s_g·B·A, and the residual. */
function terms(factors: Factors, { scaling }: Server, residual?: Factors) {
  const own = { ...factors, scale: scaling }
  return residual === undefined ? [own] : [own, { ...residual, scale: 1 }]
}

/** One module after the rule. */
class CombinedModule {
  constructor(
    readonly updates: ModuleUpdates,
    readonly server: Server,
    readonly combined: Combined,
  ) {}

  delta(): Float64Array {
    return denseProduct(this.updates, terms(this.combined, this.server, this.combined.residual))
  }

  deltaFor(client: number): Float64Array {
    const { view, ranks, residual } = this.combined
    if (view !== undefined) return denseProduct(this.updates, terms(view(client), this.server))
    const rank = ranks?.[client] ?? this.updates.clients[client]!.rank
    return denseProduct(this.updates, terms(leadingRanks(this.combined, rank, this.updates), this.server, residual))
  }

  singularValues(): Float64Array {
    const { combined, server, updates } = this
    return combined.singularValues?.() ?? singularValues(updates, terms(combined, server, combined.residual))
  }

  factors(): ReturnType<CombinedFactors['factors']> {
    const { A, B, residual } = this.combined
    const copy = (pair: { A: Float64Array; B: Float64Array }) => ({ A: pair.A.slice(), B: pair.B.slice() })
    return { ...copy({ A, B }), ...(residual === undefined ? {} : { residual: copy(residual) }) }
  }
}

/** Two passes over the modules where the rule has a survey, one where it has none. */
function combineModules(
  rule: FactorRule,
  modules: ReadonlyMap<string, ModuleUpdates>,
  weights: readonly number[],
  scaling: number,
  options: unknown,
): Map<string, CombinedModule> {
  let survey: unknown
  if (rule.survey !== undefined) for (const module of modules.values()) survey = rule.survey(survey, module, options)
  return new Map(
    Array.from(modules, ([name, module]) => {
      const server = { rank: Math.max(...module.clients.map(({ rank }) => rank)), scaling }
      return [name, new CombinedModule(module, server, rule.combine(module, weights, server, options, survey))]
    }),
  )
}

/**
 * Makes one adapter of those of all clients, by a rule that knows LoRA's factors. Computed in double precision, at once, on the caller's
 * thread and helpers beside it; the inputs are read, not kept or changed. The order of clients changes results by rounding alone.
 *
 * Rules, p_k the weights divided by their sum and s_k = alpha/rank: `fedit` means of A and of B; `ffa` B alone, A as it was sent; `fedsa`
 * A alone, each keeps its B; `rolora` one part a round; `flora` stacks; `zeropad` pads, then means; `hetlora` weights by norm, prunes ranks;
 * `flexlora` the nearest of the server's rank to the ideal Σ p_k s_k B_k A_k; `raflora` the same of rank slices; `fedex` means and what
 * they miss; `florana` best weights of the means; `lorafair` a corrected B; `fedsvd` orthonormal A; `fedsb` cores. Scales that differ are
 * folded: B (or the one averaged factor) times s_k/scaling.
 * @throws FedloraError `E_ARGUMENT` an unknown rule or module, weights, a factor that should be shared and is not; `E_CONFIG` a wrong or unknown
 * field or option; `E_SHAPE` lengths or ranks; `E_NONFINITE`; `E_MISSING` `R` or `sent` where the rule needs it; `E_MEMORY`.
 * @example
 * ```ts
 * const clients = [
 *   { A: Float32Array.of(1, 0), B: Float32Array.of(1, 0), rank: 1, alpha: 2 },
 *   { A: Float32Array.of(0, 1), B: Float32Array.of(0, 1), rank: 1, alpha: 2 },
 * ]
 * const input = { modules: { q: { out: 2, in: 2, clients } }, weights: [1, 1], scaling: 2 }
 * combineFactors('fedex', input).delta('q') // [1, 0, 0, 1]
 * combineFactors('fedit', input).aggregationError // 0.7071…: [0.5, 0.5, 0.5, 0.5]
 * ```
 */
export function combineFactors(rule: FactorRuleName, input: CombineFactorsInput): CombinedFactors {
  const known = findRule(rule)
  const { modules, weights, scaling, options } = checkInput(known, input)
  const combined = combineModules(known, modules, weights, scaling, options)
  const module = (name: string) => findModule(combined, name)
  return {
    aggregationError: aggregationError(Array.from(combined.values(), (one) => one.combined.error)),
    delta: (name) => module(name).delta(),
    deltaFor: (name, client) => {
      const one = module(name)
      checkClient(client, one.updates.clients.length)
      return one.deltaFor(client)
    },
    singularValues: (name) => module(name).singularValues(),
    factors: (name) => module(name).factors(),
  }
}
