/** Options of `split`. */
import { z } from 'zod'

export const splitOptionsSchema = z.strictObject({
  by: z
    .enum(['iid', 'dirichlet', 'category', 'quantity'])
    .describe('iid: alike; dirichlet: skewed labels; category: a client a label; quantity: skewed sizes'),
  clients: z.int().min(1).optional().describe("number of clients; default, and only for 'category', one a label"),
  alpha: z
    .number()
    .positive()
    .default(0.5)
    .describe('concentration of the Dirichlet draws: the smaller, the more skewed'),
  label: z.string().min(1).optional().describe("the field that holds a row's label; default the row's category"),
  seed: z.int().min(0).default(0).describe('seed of the draws'),
  testFraction: z
    .number()
    .min(0)
    .max(0.9)
    .default(0.1)
    .describe("share of a client's rows that it keeps for evaluation"),
  minRows: z.int().min(1).default(1).describe('rows that every client holds at least'),
})

/** Options of `split`. Defaults: alpha 0.5, seed 0, a tenth of each client's rows for its test, one row a client at least. */
export type SplitOptions = z.input<typeof splitOptionsSchema>
