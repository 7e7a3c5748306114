/** What a model is given to answer: the prompt of a row, as the row is trained on, and the format that makes it. */

import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { defaultFormatOptions, type PromptOf } from './formats/format.js'
import { type FormatName, formatNames, formats, type Row } from './formats/formats.js'
import type { Tokenizer } from './tokenizer/tokenizer.js'
import { promptIds } from './tokens/encode-row.js'

export const promptFormatSchema = z.strictObject({
  format: z.enum(formatNames).describe('how a row becomes prompt and completion'),
  fields: z.record(z.string(), z.string()).default({}).describe("where the format's fields are found in a row"),
  chatTemplateKwargs: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('variables of the chat template, such as enable_thinking'),
})

/** How prompts are made of rows: what an adapter was trained with, and is asked with. */
export type PromptFormat = z.output<typeof promptFormatSchema>

/** A prompt as the model gets it. */
export interface PromptText {
  readonly text: string
  readonly inputIds: Int32Array
}

function promptOf(format: FormatName): PromptOf {
  const { prompt } = formats[format] as { prompt?: PromptOf }
  if (prompt !== undefined) return prompt
  throw new FedloraError('E_ARGUMENT', `the format ${format} has no prompt: give its ids`, { format })
}

/** The row under the format's own names; a column that is not renamed is found under its own name, too. */
function underOwnNames(row: Row, fields: Readonly<Record<string, string>>): Row {
  const renamed: Record<string, unknown> = { ...row }
  for (const [name, source] of Object.entries(fields)) renamed[name] = row[source] ?? row[name]
  return renamed
}

/**
 * The prompt of a row; the columns of its completion may be missing, and are not looked at.
 *
 * @throws E_DATA naming the column that is missing or wrong; E_TOKENIZER without a chat template where one is needed
 */
export function rowPrompt(
  row: Row,
  { format, fields, chatTemplateKwargs }: PromptFormat,
  tokenizer: Tokenizer,
): PromptText {
  const prompt = promptOf(format)
  const own = underOwnNames(row, fields)
  const problem = prompt.check(own)
  if (problem !== null) {
    const { field, expected, found } = problem
    throw new FedloraError('E_DATA', `prompt, format ${format}, field ${field}: expected ${expected}, found ${found}`, {
      format,
      ...problem,
    })
  }
  const { text, specialTokens } = prompt.text(own, tokenizer, { ...defaultFormatOptions, chatTemplateKwargs })
  return { text, inputIds: Int32Array.from(promptIds(tokenizer, text, specialTokens)) }
}

/** A plain text as the prompt of a format: in its main column, or as it is when it is a prompt of the format already; null: as it is. */
export function textPrompt(text: string, format: PromptFormat, tokenizer: Tokenizer): PromptText | null {
  const prompt = promptOf(format.format)
  if (prompt.isPrompt(text, tokenizer)) return null
  return rowPrompt({ [prompt.field]: text }, { ...format, fields: {} }, tokenizer)
}

/**
 * The format whose prompt has these columns (those that no format knows do not count), where only one is meant: formats with the same prompt (alpaca, code-alpaca, dolly without a
 * context) are one.
 */
export function formatOfPrompt(row: Row): FormatName | null {
  const known = new Set(formatNames.flatMap((name): readonly string[] => formats[name].fields))
  const columns = Object.keys(row).filter((column) => known.has(column))
  const fitting = formatNames.filter((name) => {
    const { fields, prompt } = formats[name] as { fields: readonly string[]; prompt?: PromptOf }
    return prompt !== undefined && columns.every((column) => fields.includes(column)) && prompt.check(row) === null
  })
  const fields = new Set(fitting.map((name) => promptOf(name).field))
  return fields.size === 1 ? fitting[0]! : null
}
