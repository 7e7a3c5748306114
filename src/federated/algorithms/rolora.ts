/**
 * RoLoRA: odd rounds train and average lora_B over the lora_A that was sent, even rounds lora_A over the lora_B. Exact in each, half the bytes
 * up; both factors are learnt. lora_B comes first: while it is zero, lora_A has no gradient. Both travel down, for a client remembers nothing
 * of the round before.
 *
 * Source: Chen et al. 2024, "Robust federated finetuning of LLMs via alternating optimization of LoRA", algorithm 1.
 */
import { partOf } from '../protocol/space.js'
import type { Algorithm } from './algorithm.js'

export const rolora: Algorithm = {
  name: 'rolora',
  about: 'lora_B and lora_A are trained and averaged in turn, a round each: exact, half the bytes up',
  source: 'Chen et al. 2024, Robust federated finetuning of LLMs via alternating optimization of LoRA',
  asynchronous: false,
  travels({ space, round }) {
    const part = round % 2 === 1 ? 'lora_B' : 'lora_A'
    return { [part]: partOf(space, part) }
  },
}
