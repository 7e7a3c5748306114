/** Options of `model.generate`: those of decoding, and who decodes. */
import { z } from 'zod'
import { Adapter } from './adapter.js'
import { decodingOptionsSchema } from './generate.js'

export const generateOptionsSchema = z.strictObject({
  adapter: z.instanceof(Adapter).optional().describe('adapter to generate with; default: the base model alone'),
  ...decodingOptionsSchema.shape,
})

/** Options of `model.generate`. Defaults: 256 tokens, greedy, seed 0, no stop strings, the adapter's own format of prompts. */
export type GenerateOptions = z.input<typeof generateOptionsSchema>
