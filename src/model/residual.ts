/** Frozen low-rank factors beside an adapter's trained ones, and the one adapter of the summed rank that both make together. */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { TensorLayout } from '../native/binding.js'
import { type AdapterConfig, adapterLayers, configOfLayers, mostRank } from './adapter-options.js'

/**
 * Frozen factors: y = W·x + s·B·(A·x) + s·B_res·(A_res·x), s being the layer's own alpha / rank. They count as part of the base: no gradient
 * and no dropout reaches them.
 */
export interface FrozenResidual {
  /** Rank P of each adapted layer's pair, in the order of `adapter.targets`; 0: none there. */
  ranks: readonly number[]
  /** For each layer that has a pair, in that order: A_res [P, in_features], then B_res [out_features, P], row-major. */
  values: Float32Array
}

/** @throws FedloraError `E_ARGUMENT` for a rank out of range, `E_SHAPE` for another number of ranks than `targets`. */
export function checkResidualRanks(ranks: unknown, config: AdapterConfig, targets: readonly string[]): number[] {
  if (!Array.isArray(ranks)) {
    throw new FedloraError('E_ARGUMENT', `residual ranks: got ${describeValue(ranks)}, expected one rank a layer`)
  }
  if (ranks.length !== targets.length) {
    throw new FedloraError(
      'E_SHAPE',
      `residual: ${ranks.length} ranks, expected ${targets.length}, one for each of adapter.targets`,
      { got: ranks.length, expected: targets.length },
    )
  }
  for (const [i, { module, rank }] of adapterLayers(config, targets).entries()) {
    const most = mostRank - rank
    if (Number.isInteger(ranks[i]) && ranks[i] >= 0 && ranks[i] <= most) continue
    throw new FedloraError(
      'E_ARGUMENT',
      `residual: the rank of '${module}' is ${describeValue(ranks[i])}, expected 0 to ${most}: ${mostRank} with the trained ${rank}; ` +
        'truncate the factors',
      { module, got: ranks[i], most },
    )
  }
  return [...ranks]
}

/** Two matrices side by side: [rows, a + b] of left [rows, a] and right [rows, b]. */
function sideBySide(left: Float32Array, right: Float32Array, rows: number): Float32Array {
  const a = left.length / rows
  const b = right.length / rows
  const both = new Float32Array(left.length + right.length)
  for (let row = 0; row < rows; row++) {
    both.set(left.subarray(row * a, (row + 1) * a), row * (a + b))
    both.set(right.subarray(row * b, (row + 1) * b), row * (a + b) + a)
  }
  return both
}

/** One matrix below the other. */
function below(upper: Float32Array, lower: Float32Array): Float32Array {
  const both = new Float32Array(upper.length + lower.length)
  both.set(upper)
  both.set(lower, upper.length)
  return both
}

interface Vector {
  config: AdapterConfig
  targets: readonly string[]
  layout: readonly TensorLayout[]
  values: Float32Array
}

/**
 * The same function as one adapter: A = [A; A_res], B = [B, B_res], of rank R + P in each layer, with alphas that leave every scaling as it
 * is.
 */
export function stackResidual({ config, targets, layout, values }: Vector, residual: FrozenResidual): Vector {
  const layers = adapterLayers(config, targets)
  const summed = layers.map((layer, i) => ({ ...layer, rank: layer.rank + residual.ranks[i]! }))
  const stacked = new Float32Array(values.length + residual.values.length)
  let frozenOffset = 0
  let stackedOffset = 0
  const stackedLayout = layout.map((tensor, i): TensorLayout => {
    const { part, offset, length } = tensor
    const { rank } = summed[i >> 1]!
    const frozenRank = residual.ranks[i >> 1]!
    const [rows, columns] = tensor.shape
    const trained = values.subarray(offset, offset + length)
    const frozenLength = frozenRank * (part === 'lora_A' ? columns : rows)
    const frozen = residual.values.subarray(frozenOffset, frozenOffset + frozenLength)
    const both = part === 'lora_A' ? below(trained, frozen) : sideBySide(trained, frozen, rows)
    const place = { offset: stackedOffset, length: both.length }
    stacked.set(both, stackedOffset)
    frozenOffset += frozenLength
    stackedOffset += both.length
    return { ...tensor, ...place, shape: part === 'lora_A' ? [rank, columns] : [rows, rank] }
  })
  return { config: configOfLayers(config, summed), targets, layout: stackedLayout, values: stacked }
}
