/**
 * FFA-LoRA: lora_A stays as it was drawn, lora_B alone is trained and travels, down and up. Exact: Σ pₖ s Bₖ A = s (Σ pₖ Bₖ) A; half the
 * bytes, and less time, for no gradient of lora_A is computed.
 *
 * Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning", section 4.
 */
import { partOf } from '../protocol/space.js'
import type { Algorithm } from './algorithm.js'

export const ffa: Algorithm = {
  name: 'ffa',
  about: 'lora_A is frozen, lora_B is averaged: exact, half the bytes both ways, less time',
  source: 'Sun et al. 2024, Improving LoRA in privacy-preserving federated learning',
  travels: ({ space }) => ({ adapter: partOf(space, 'lora_B') }),
  receives: ({ space }) => partOf(space, 'lora_B'),
}
