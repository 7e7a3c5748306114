/** The codecs and their options, as schemas: of one message and of a federation's uploads. */
import { z } from 'zod'

export const codecs = ['f32', 'bf16', 'int8', 'int4', 'topk', 'sign', 'randk', 'blocks', 'lowrank'] as const

export type Codec = (typeof codecs)[number]

const share = z.number().gt(0).max(1)

/** Log2 of the elements of a run, by their number. */
export const runLog2 = (block: number): number => Math.log2(block)

export const codecShape = {
  codec: z
    .enum(codecs)
    .describe(
      'f32 is exact; bf16 rounds; int8 and int4 have a scale per block; topk sends the largest values only; sign sends one bit a value; randk and blocks send values, or runs of them, that a seed chooses; lowrank sends a product of two factors for every tensor',
    ),
  density: z
    .union([share, z.strictObject({ A: share, B: share })])
    .default(1 / 64)
    .describe('topk, randk, blocks: share of the values sent; { A, B }: of the tensors lora_A and lora_B'),
  bits: z
    .union([z.literal(2), z.literal(4), z.literal(8), z.literal(16), z.literal(32)])
    .default(4)
    .describe('bits of a value sent. topk: 2, 4 or 8; randk, blocks: 4, 8, 16 (bf16) or 32'),
  block: z
    .int()
    .min(2)
    .max(2 ** 20)
    .refine((block) => Number.isInteger(runLog2(block)), 'expected a power of two')
    .default(256)
    .describe('blocks: values of a run, a power of two'),
  rank: z.int().min(1).max(256).default(2).describe('lowrank: largest rank of the factors of a tensor'),
  seed: z.int().min(0).default(0).describe('seed of the stochastic rounding'),
}

const bitsOf: Partial<Record<Codec, readonly number[]>> = {
  topk: [2, 4, 8],
  randk: [4, 8, 16, 32],
  blocks: [4, 8, 16, 32],
}

/** Tells what a codec does not have: values of so many bits. */
export function checkCodec({ codec, bits }: { codec: Codec; bits: number }, ctx: z.RefinementCtx): void {
  const allowed = bitsOf[codec]
  if (allowed === undefined || allowed.includes(bits)) return
  ctx.addIssue({
    code: 'custom',
    path: ['bits'],
    message: `${codec} sends values of ${allowed.join(', ')} bits, not ${bits}`,
  })
}
