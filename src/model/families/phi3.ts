/** Phi-3, 3.5 and 4: one matrix for q, k and v, one for gate and up; a part of each head may turn, by LongRoPE for long rows. */
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { readRope } from '../rope.js'
import { describeDecoder } from './decoder.js'
import { windowOf } from './windows.js'

export function describePhi3(config: Fields): ModelDescription {
  return describeDecoder(config, {
    family: 'phi3',
    maxPositions: 4096,
    epsilon: 1e-5,
    fused: true,
    window: windowOf(config, 0, () => true),
    ropes: (headDim, maxPositions) => [
      readRope(config, { headDim, maxPositions, partial: true, aliases: { su: 'longrope', yarn: 'longrope' } }),
    ],
  })
}
