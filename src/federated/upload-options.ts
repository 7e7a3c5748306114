/** Options of how updates travel to the server. */
import { z } from 'zod'
import { checkCodec, codecShape } from '../compression/codec-options.js'

export const uploadSchema = z
  .strictObject({
    codec: codecShape.codec.default('f32'),
    density: codecShape.density,
    bits: codecShape.bits,
    block: codecShape.block,
    rank: codecShape.rank,
    errorFeedback: z
      .boolean()
      .optional()
      .describe(
        'what a message leaves out is added to the next update; default true, except for f32 and with segments, where rounds of leftovers arrive at once. Without it randk and blocks scale up what they send, so that its expectation is the update',
      ),
    segments: z
      .int()
      .min(1)
      .max(1024)
      .default(1)
      .describe('parts of an update, of which a client sends one a round by turn, and the others send the others'),
  })
  .superRefine(checkCodec)

export type Upload = z.output<typeof uploadSchema>
