/**
 * Which tokens has a client trained on? Its update says it, where it is a gradient: for y = W·x + s·B·(A·x) and δ = ∂L/∂y,
 *
 *   ∂L/∂A = s·Σₜ (Bᵀδₜ)·xₜᵀ  [rank, in]    its rows lie in the span of the xₜ
 *   ∂L/∂B = s·Σₜ δₜ·(A·xₜ)ᵀ   [out, rank]   its rows lie in the span of the A·xₜ
 *
 * In the first block xₜ is a function of the token alone: every token of the vocabulary is tried. A's gradient is zero as long as B is, so that
 * the first round betrays fewer than `rank` different tokens, later ones up to 3·rank (q, k and v see the same x).
 *
 * Source: Petrov et al. 2024, "DAGER: exact gradient inversion for large language models", its first step, with LoRA's gradients.
 */
import { multiply } from '../../../aggregation/factors/algebra.js'
import type { Adapter } from '../../../model/adapter.js'
import type { FirstInputs } from './first-inputs.js'
import { distancesFrom, spanOfRows } from './span.js'

/** What the attacker holds: the adapter that was sent, what came back for it, and where the factors lie. */
export interface Observed {
  adapter: Float32Array
  update: Float32Array
  layout: Adapter['layout']
}

/** A factor of a projection of the first block, in a vector of the adapter's layout. */
function factor(vector: Float32Array, layout: Adapter['layout'], projection: string, part: 'lora_A' | 'lora_B') {
  const tensor = layout.find((one) => one.part === part && one.name.includes(`layers.0.self_attn.${projection}_proj.`))!
  const values = vector.subarray(tensor.offset, tensor.offset + tensor.length)
  return { values, rows: tensor.shape[0], cols: tensor.shape[1] }
}

function fromA({ update, layout }: Observed, { values, hidden }: FirstInputs, distinct: number): Float64Array {
  const parts = ['q', 'k', 'v'].map((projection) => factor(update, layout, projection, 'lora_A').values)
  const M = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    M.set(part, at)
    at += part.length
  }
  return distancesFrom(spanOfRows(M, hidden, distinct), values)
}

/** Of v alone: a row's first token, which attends to itself only, has no gradient in q. */
function fromB({ update, adapter, layout }: Observed, inputs: FirstInputs, distinct: number): Float64Array {
  const { values: A, rows: rank } = factor(adapter, layout, 'v', 'lora_A')
  const seen = multiply(inputs.values, A, [inputs.vocabulary, inputs.hidden, rank], 'b')
  return distancesFrom(spanOfRows(factor(update, layout, 'v', 'lora_B').values, rank, distinct), seen)
}

/**
 * The vocabulary, the likeliest tokens first.
 * @param distinct - how many different tokens there are: the attacker is told.
 */
export function likeliestTokens(observed: Observed, inputs: FirstInputs, distinct: number): number[] {
  const untrained = factor(observed.adapter, observed.layout, 'v', 'lora_B').values.every((value) => value === 0)
  const distances = (untrained ? fromB : fromA)(observed, inputs, distinct)
  return [...distances.keys()].sort((a, b) => distances[a]! - distances[b]! || a - b)
}

/** Share of the secret tokens among as many likeliest ones. */
export function shareFound(likeliest: readonly number[], secret: ReadonlySet<number>): number {
  return likeliest.slice(0, secret.size).filter((token) => secret.has(token)).length / secret.size
}
