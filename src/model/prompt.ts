/** What `generate` is asked, as ids: texts, conversations, rows of a format, ids. */

import { type FormatName, formatNames, type Row } from '../data/formats/formats.js'
import { formatOfPrompt, type PromptFormat, type PromptText, rowPrompt, textPrompt } from '../data/prompt.js'
import type { ChatMessage } from '../data/tokenizer/chat-template.js'
import type { Tokenizer } from '../data/tokenizer/tokenizer.js'
import { promptIds } from '../data/tokens/encode-row.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { flattenIds } from './batch.js'

/**
 * A text, chat messages (as a row { messages }), token ids, what `data.prompt(row)` gives, or a row of a format, such as { instruction, input }.
 *
 * With an adapter that knows the format of its training (see `Adapter.promptFormat`), a plain text stands for that format's question:
 * alpaca's instruction, gsm8k's question, a message of the user. `raw: true` takes it as it is.
 */
export type Prompt = string | readonly ChatMessage[] | ArrayLike<number> | PromptText | Row

/** Who is asked. */
export interface Asked {
  /** Its ids lie below. */
  readonly vocabulary: number
  /** The format of the rows that it was trained on, when it remembers one. */
  readonly promptFormat: PromptFormat | undefined
  tokenizer(): Promise<Tokenizer>
}

/** How a prompt is to be read. */
export interface PromptReading {
  format?: FormatName | undefined
  raw?: boolean | undefined
}

function isMessages(prompt: Prompt): prompt is readonly ChatMessage[] {
  return Array.isArray(prompt) && typeof prompt[0] === 'object' && prompt[0] !== null
}

function isObject(prompt: Prompt): prompt is PromptText | Row {
  return typeof prompt === 'object' && prompt !== null && !Array.isArray(prompt) && !ArrayBuffer.isView(prompt)
}

/** An object with elements by index; a row may have a column of the name length. */
function isListOfIds(prompt: object): boolean {
  const { length } = prompt as { length?: unknown }
  return typeof length === 'number' && (length === 0 || 0 in prompt)
}

/** The format that was asked for, or the one that is remembered. */
function knownFormat({ promptFormat: remembered }: Asked, { format, raw }: PromptReading): PromptFormat | undefined {
  if (format !== undefined)
    return remembered?.format === format ? remembered : { format, fields: {}, chatTemplateKwargs: {} }
  return raw === true ? undefined : remembered
}

/** The format of a row: the one that is known where it has the columns, else the one format that has them. */
function formatOfRow(asked: Asked, row: Row, reading: PromptReading): PromptFormat {
  const known = knownFormat(asked, reading)
  const guessed = formatOfPrompt(row)
  if (known !== undefined && (reading.format !== undefined || guessed === null || guessed === known.format))
    return known
  if (known !== undefined && Object.values(known.fields).some((column) => column in row)) return known
  if (guessed !== null) return { format: guessed, fields: {}, chatTemplateKwargs: known?.chatTemplateKwargs ?? {} }
  throw new FedloraError(
    'E_ARGUMENT',
    `generate: a row of ${Object.keys(row).join(', ') || 'no columns'} is a prompt of no one format; name it with format: ${formatNames.join(', ')}`,
    { columns: Object.keys(row) },
  )
}

async function idsOf(asked: Asked, prompt: Prompt, reading: PromptReading): Promise<ArrayLike<number>> {
  if (typeof prompt === 'string') {
    const tokenizer = await asked.tokenizer()
    const format = knownFormat(asked, reading)
    const question = format === undefined || reading.raw === true ? null : textPrompt(prompt, format, tokenizer)
    return question?.inputIds ?? promptIds(tokenizer, prompt, true)
  }
  if (isMessages(prompt)) {
    const { chatTemplateKwargs = {} } = knownFormat(asked, reading) ?? {}
    const conversation: PromptFormat = { format: 'messages', fields: {}, chatTemplateKwargs }
    return rowPrompt({ messages: prompt }, conversation, await asked.tokenizer()).inputIds
  }
  if (!isObject(prompt) || isListOfIds(prompt)) return prompt as ArrayLike<number>
  if ('inputIds' in prompt) return prompt.inputIds as ArrayLike<number>
  const format = formatOfRow(asked, prompt as Row, reading)
  return rowPrompt(prompt as Row, format, await asked.tokenizer()).inputIds
}

/**
 * The ids that a prompt stands for.
 * @throws FedloraError `E_ARGUMENT`, `E_DATA`, `E_TOKENIZER`.
 */
export async function resolvePrompt(asked: Asked, prompt: Prompt, reading: PromptReading): Promise<Int32Array> {
  const ids = await idsOf(asked, prompt, reading)
  if (typeof ids !== 'object' || ids === null || !(ids.length > 0)) {
    throw new FedloraError(
      'E_ARGUMENT',
      `generate: the prompt is ${describeValue(prompt)}, expected at least one token`,
    )
  }
  return flattenIds([ids], asked.vocabulary, 'prompt').ids
}
