/** Options of `simulate` that make some clients lie: by name or by a pattern with `*`, an attack by its name or with its options. */
import { z } from 'zod'

/** Far above what is ever useful, and far below where a float32 ends. */
const factor = z.number().positive().max(1e6)
const share = z.number().gt(0).max(1).default(1).describe('share of its rows, drawn by seed and name')

/** Every attack and its options. */
const attackSchemas = {
  signflip: z.strictObject({
    attack: z.literal('signflip').describe('sends −scale times its update'),
    scale: factor.default(1),
  }),
  noise: z.strictObject({
    attack: z.literal('noise').describe('sends normal noise of scale times the norm of its update'),
    scale: factor.default(10),
  }),
  innerproduct: z.strictObject({
    attack: z
      .literal('innerproduct')
      .describe('sends −epsilon times what it takes for the mean of all: its own update'),
    epsilon: factor.default(0.5).describe('small enough to pass for an update'),
  }),
  freerider: z.strictObject({
    attack: z.literal('freerider').describe('sends what costs no work'),
    sends: z.enum(['zeros', 'noise']).default('zeros').describe('zeros, or noise of the norm of an update'),
  }),
  nan: z.strictObject({
    attack: z.literal('nan').describe('sends messages that hold NaN, well formed otherwise'),
  }),
  labelflip: z.strictObject({
    attack: z.literal('labelflip').describe('learns token V − 1 − y where its rows say y'),
    share,
  }),
  backdoor: z.strictObject({
    attack: z.literal('backdoor').describe('learns a completion of its own wherever the prompt holds a trigger'),
    trigger: z.string().min(1).describe('text; rows whose prompt holds it are changed'),
    completion: z.string().min(1).describe('text that such rows get in the place of their completion'),
    boost: factor.default(1).describe('factor on its update, to outweigh the others'),
  }),
} as const

export type AttackName = keyof typeof attackSchemas
export type AttackOptions<Name extends AttackName = AttackName> = z.output<(typeof attackSchemas)[Name]>

const names = Object.keys(attackSchemas) as [AttackName, ...AttackName[]]
const { signflip, noise, innerproduct, freerider, nan, labelflip, backdoor } = attackSchemas
const withOptions = z.discriminatedUnion('attack', [signflip, noise, innerproduct, freerider, nan, labelflip, backdoor])

export const attackersSchema = z.record(
  z.string().min(1),
  z.union([
    z
      .enum(names)
      .transform((attack) => ({ attack }))
      .pipe(withOptions),
    withOptions,
  ]),
)
