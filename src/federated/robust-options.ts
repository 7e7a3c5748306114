/** Options of the rule that stands in for the mean of updates. */
import { z } from 'zod'

const f = z
  .int()
  .min(0)
  .optional()
  .describe('clients that may send anything; default: as many as the rule holds against among those that answered')

const rules = [
  z.strictObject({ rule: z.literal('krum'), f }),
  z.strictObject({
    rule: z.literal('multikrum'),
    f,
    m: z.int().min(1).optional().describe('updates that are averaged; default n − f − 2 of n'),
  }),
  z.strictObject({ rule: z.literal('median') }),
  z.strictObject({ rule: z.literal('trimmedmean'), f }),
  z.strictObject({ rule: z.literal('bulyan'), f }),
  z.strictObject({ rule: z.literal('geomedian') }),
  z.strictObject({
    rule: z.literal('normbound'),
    bound: z.number().positive().describe('2-norm to which larger updates are scaled down'),
  }),
  z.strictObject({
    rule: z.literal('fltrust'),
    root: z.string().min(1).describe('client with the rows that the server trusts; its update is not averaged'),
  }),
] as const

/** Those that need nothing said. */
const names = ['krum', 'multikrum', 'median', 'trimmedmean', 'bulyan', 'geomedian'] as const

const known = rules.map(({ shape }) => `"${shape.rule.value}"`).join('|')

const ruleSchema = z.discriminatedUnion('rule', rules, {
  error: ({ code }) => `Invalid input: expected ${code === 'invalid_union' ? `one of ${known}` : '{ rule, … }'}`,
})

export const robustSchema = z.union([z.enum(names).transform((rule): RobustConfig => ({ rule })), ruleSchema])

/** A rule and its options. */
export type RobustConfig = z.output<typeof ruleSchema>
