/** Factors drawn anew, the same by everybody who knows the federation's seed. */
import { Random } from '../../random/random.js'
import { deriveSeed } from './random.js'
import type { Space, SpaceTensor } from './space.js'

const words = 2 ** 32

/** Fills one factor of every layer, uniform in ±1/√n, n being the length of its rows (lora_A) or columns (lora_B): PEFT's for lora_A. */
function draw(values: Float32Array, space: Space, part: SpaceTensor['part'], seed: number): void {
  for (const [index, { A, B, in: inputs, out }] of space.modules.entries()) {
    const random = new Random(seed, part === 'lora_A' ? 0 : 1, index)
    const [{ offset, length }, side] = part === 'lora_A' ? [A, inputs] : [B, out]
    const bound = 1 / Math.sqrt(side)
    for (let i = offset; i < offset + length; i++) values[i] = bound * ((2 * random.word()) / words - 1)
  }
}

/** A new adapter, as each seed and round draws it: lora_A drawn, lora_B zero, as a federation's first is. */
export function freshAdapter(space: Space, seed: number, round: number): Float32Array {
  const values = new Float32Array(space.length)
  draw(values, space, 'lora_A', deriveSeed(seed, 'adapter', round))
  return values
}

/** `adapter` with lora_B drawn. */
export function withDrawnB(adapter: Float32Array, space: Space, seed: number): Float32Array {
  const values = adapter.slice()
  draw(values, space, 'lora_B', deriveSeed(seed, 'adapter', 0))
  return values
}
