/**
 * What the first block's q, k and v see of a token: x = g ⊙ e/√(mean(e²) + ε), its embedding under an RMS norm. It depends on nothing but the
 * token (rotary positions come after the projection), so that whoever has the base has the x of every token.
 */
import type { Model } from '../../../model/model.js'
import { native } from '../../../native/load.js'

export interface FirstInputs {
  /** [vocabulary, hidden], row-major. */
  values: Float32Array
  vocabulary: number
  hidden: number
}

/** Of a model whose blocks begin with an RMS norm. */
export function firstInputs({ files, config }: Model): FirstInputs {
  const { vocabulary, hidden, description } = config
  const checkpoint = native().openCheckpoint([...files])
  try {
    const values = checkpoint.read(`${description.names.embedding}.weight`)
    const gain = checkpoint.read(`${description.layers[0]!.norms.beforeAttention!}.weight`)
    for (let token = 0; token < vocabulary; token++) {
      const row = values.subarray(token * hidden, (token + 1) * hidden)
      const square = row.reduce((sum, value) => sum + value * value, 0) / hidden
      const scale = 1 / Math.sqrt(square + description.normEpsilon)
      for (let i = 0; i < hidden; i++) row[i]! *= scale * gain[i]!
    }
    return { values, vocabulary, hidden }
  } finally {
    checkpoint.dispose()
  }
}
