/** A new adapter, as a federation's first was drawn: lora_A uniform in ±1/√in, lora_B zero (PEFT's initialisation). */
import { Random } from '../../random/random.js'
import { deriveSeed } from './random.js'
import type { Space } from './space.js'

const words = 2 ** 32

/** The adapter of `round`, as each seed and round draws it. */
export function freshAdapter(space: Space, seed: number, round: number): Float32Array {
  const values = new Float32Array(space.length)
  const drawn = deriveSeed(seed, 'adapter', round)
  for (const [index, { A, in: inputs }] of space.modules.entries()) {
    const draw = new Random(drawn, 0, index)
    const bound = 1 / Math.sqrt(inputs)
    for (let i = A.offset; i < A.offset + A.length; i++) values[i] = bound * ((2 * draw.word()) / words - 1)
  }
  return values
}
