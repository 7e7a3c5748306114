/** The demo's recipe: the same adapter, data and budget of steps for everyone. */
import type { AdapterOptions } from '../../model/adapter-options.js'
import type { ModelOptions } from '../../model/model-options.js'

export const recipe = {
  model: { quantization: 'nf4', compute: 'bf16' } satisfies ModelOptions,
  rowsEach: 256,
  rounds: 8,
  /** A fresh AdamW each round, a rate that is constant within a round and falls by a cosine over the rounds. */
  local: {
    steps: 12,
    batchSize: 8,
    learningRate: 5e-3,
    schedule: 'cosine',
    optimizer: 'adamw',
    weightDecay: 0,
    maxGradNorm: 1,
  },
  adapter: { rank: 16, alpha: 32, targetModules: 'all-linear', dropout: 0, seed: 3 } satisfies AdapterOptions,
  /** Four bits a value, stochastically rounded; what is rounded away is sent with the next update. */
  upload: { codec: 'int4', errorFeedback: true },
  seed: 1,
  calculatorPrompts: 150,
  answerTokens: 96,
} as const

/** Warm-up over a twentieth of the steps, whose first step is not zero, then a cosine to zero. */
export function baselineFactor(step: number, steps: number): number {
  const warmup = Math.max(1, Math.round(0.05 * steps))
  return step < warmup ? (step + 1) / warmup : 0.5 * (1 + Math.cos((Math.PI * (step - warmup)) / (steps - warmup)))
}
