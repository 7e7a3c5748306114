/** How the adapter travels to the clients. */
import { z } from 'zod'
import { checkCodec, codecShape } from '../compression/codec-options.js'

const { seed: _, codec, ...shape } = codecShape

export const downloadSchema = z
  .strictObject({
    codec: codec
      .default('f32')
      .describe(
        'how the adapter is broadcast: whole as f32, or as bf16, from which clients then start; any other codec sends what it has more than a client holds, and what that leaves out goes with the next',
      ),
    ...shape,
  })
  .superRefine(checkCodec)

export type DownloadConfig = z.output<typeof downloadSchema>

/** Whether what travels down is the difference to what clients hold. */
export const sendsDeltas = ({ codec }: DownloadConfig): boolean => codec !== 'f32' && codec !== 'bf16'
