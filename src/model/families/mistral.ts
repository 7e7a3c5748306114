/** Mistral: Llama's shape, no biases, a sliding window. Ministral 3 turns queries by position-dependent factors beside. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope } from '../rope.js'
import { describeDecoder } from './decoder.js'
import { windowOf } from './windows.js'

export function describeMistral(config: Fields): ModelDescription {
  return describeDecoder(config, {
    family: 'mistral',
    kvHeads: 8,
    maxPositions: 131072,
    window: windowOf(config, 4096, () => true),
  })
}

/** What its config class supplies where the config has no rotary parameters. */
const rotary = {
  rope_type: 'yarn',
  rope_theta: 1e6,
  factor: 16,
  original_max_position_embeddings: 16384,
  mscale: 1,
  mscale_all_dim: 1,
  llama_4_scaling_beta: 0.1,
}

/** Queries are multiplied by 1 + beta·ln(1 + ⌊position / original positions⌋), in the table that turns them. */
export function describeMinistral3(config: Fields): ModelDescription {
  const said = config.object('rope_parameters') ?? config.object('rope_scaling')
  const parameters = said ?? config.with({ rope_parameters: rotary }).object('rope_parameters')!
  const source = said === undefined ? config.with({ rope_parameters: rotary }) : config
  const beta = parameters.number('llama_4_scaling_beta', 0)
  return describeDecoder(config, {
    family: 'ministral3',
    kvHeads: 8,
    headDim: 128,
    maxPositions: 262144,
    epsilon: 1e-5,
    window: windowOf(config, 0, () => true),
    ropes: (headDim, maxPositions) => {
      const rope = readRope(source, { headDim, maxPositions })
      const positions = parameters.integer('original_max_position_embeddings', maxPositions)
      return beta === 0 ? [rope] : [rope, { ...rope, temperature: { beta, positions } }]
    },
    ...(beta === 0 ? {} : { queryRope: 1 }),
  })
}
