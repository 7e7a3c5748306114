/** Options of `loadModel`, `quantizeModel` and `estimate` that say how the base weights are held. */
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import type { Device } from '../native/binding.js'

/** Block formats of the base weights, shared by several option objects. */
export const baseFormatShape = {
  quantization: z
    .enum(['none', 'bf16', 'int8', 'nf4', 'fp4'])
    .default('none')
    .describe("format of the frozen linear weights; 'none' keeps them as stored"),
  doubleQuantization: z.boolean().default(false).describe('quantise the block scales too (nf4 and fp4)'),
  blockSize: z
    .union([z.literal(64), z.literal(128)])
    .default(64)
    .describe('weights that share a scale (nf4 and fp4)'),
  compute: z
    .enum(['f32', 'bf16'])
    .default('f32')
    .describe(
      "arithmetic of the activations: 'f32' is the reference, 'bf16' multiplies bfloat16 pairs into float32 sums and is faster",
    ),
}

/** Where a model runs; a text in a config file, one of these in a program. */
export const deviceSchema = z
  .string()
  .regex(/^(cpu|cuda(:\d{1,4})?)$/, "expected 'cpu', 'cuda' or 'cuda:N'")
  .default('cpu')
  .describe(
    "where the model runs: 'cpu', 'cuda' (the first NVIDIA GPU) or 'cuda:1'; a device that cannot be used is refused",
  ) as unknown as z.ZodDefault<z.ZodType<Device, Device>>

export const modelOptionsSchema = z.strictObject({
  ...baseFormatShape,
  device: deviceSchema,
  threads: z.int().min(1).max(1024).optional().describe('worker threads; default: the cores available to this process'),
  baseModelName: z
    .string()
    .min(1)
    .optional()
    .describe(
      "name of this model in the adapters saved over it; default: its Hugging Face id, else './' and its folder's name",
    ),
  onProgress: z
    .custom<(progress: { loaded: number; total: number }) => void>(
      (value) => typeof value === 'function',
      'expected a function',
    )
    .optional()
    .describe('called with the number of tensors loaded so far'),
})

/** Options of `loadModel`. Defaults: `quantization: 'none'`, `doubleQuantization: false`, `blockSize: 64`, `compute: 'f32'`, `device: 'cpu'`, `threads`: all available cores. */
export type ModelOptions = z.input<typeof modelOptionsSchema>

/** @throws FedloraError `E_CONFIG` when double quantisation is asked of a format that has no block scales. */
export function checkBaseFormat(options: { quantization: string; doubleQuantization: boolean }, what: string): void {
  if (options.doubleQuantization && options.quantization !== 'nf4' && options.quantization !== 'fp4') {
    throw new FedloraError(
      'E_CONFIG',
      `${what}: doubleQuantization needs quantization 'nf4' or 'fp4', got '${options.quantization}'`,
      { field: 'doubleQuantization' },
    )
  }
}

/** Cores that this process may use. */
export function availableCores(): number {
  return Math.max(1, availableParallelism())
}
