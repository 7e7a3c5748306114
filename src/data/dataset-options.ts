/** Options of `loadDataset`. */

import { z } from 'zod'
import { formatNames } from './formats/formats.js'
import type { DataProgress } from './progress.js'
import { isTokenizerLike, type TokenizerLike } from './tokenizer/resolve.js'

const tokenizerLike = z
  .custom<TokenizerLike>(isTokenizerLike, 'expected a Tokenizer, the folder of one, or a loaded model')
  .meta({ type: 'string' })

export const datasetOptionsSchema = z.strictObject({
  format: z.enum(formatNames).describe('how a row becomes prompt and completion'),
  maxLength: z
    .int()
    .min(2)
    .optional()
    .describe("tokens of a row at most; default 1024, or the model's positions where they are fewer"),
  overlong: z
    .enum(['truncate', 'drop'])
    .default('truncate')
    .describe('a row over maxLength is cut at the right, or left out'),
  tokenizer: tokenizerLike
    .optional()
    .describe('a folder (or a loaded model); without it rows are tokenised when first used'),
  onBadRow: z
    .enum(['error', 'skip'])
    .default('error')
    .describe('a row that does not fit the format stops the reading, or is left out'),
  fields: z
    .record(z.string(), z.string())
    .default({})
    .describe("where the format's fields are found: { instruction: 'question' }"),
  limit: z.int().min(1).optional().describe('rows to read at most'),
  trainOn: z
    .enum(['assistant', 'last'])
    .default('assistant')
    .describe('conversations: every turn of the assistant is supervised, or the last one only'),
  chatTemplateKwargs: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('conversations: variables of the chat template for every row, such as { enable_thinking: false }'),
  category: z.string().min(1).optional().describe('the field that names a row’s category'),
  cache: z.boolean().default(true).describe('keep the tokens of large data sets on disk for the next time'),
  cacheDir: z
    .string()
    .min(1)
    .optional()
    .describe('folder of the cache, then used for small sets too; default FEDLORA_CACHE, else ~/.cache/fedlora'),
})

/** What only a program can give. */
export const loadOptionsSchema = datasetOptionsSchema.extend({
  signal: z.instanceof(AbortSignal).optional().describe('ends the reading and the tokenising that belongs to it'),
  onProgress: z
    .custom<(progress: DataProgress) => void>((value) => typeof value === 'function', 'expected a function')
    .optional()
    .describe('told how far the reading is, about twice a second'),
})

/** Tokens of a row at most where nothing is said and the model has room for them. */
export const defaultMaxLength = 1024

/** Options of `loadDataset`. Defaults: 1,024 tokens a row (fewer for a model of fewer positions), longer rows cut at the right, a bad row is an error, all turns of the assistant supervised. */
export type DatasetOptions = z.input<typeof loadOptionsSchema>

/** The same with every default filled in. */
export type DatasetConfig = z.output<typeof datasetOptionsSchema> & { maxLength: number }

/** What is known of the rows before there is a tokenizer. */
export type RowsConfig = Omit<DatasetConfig, 'tokenizer'>
