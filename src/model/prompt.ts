/** What `generate` is asked, as ids: texts, conversations, rows of a format, ids. */

import { type FormatName, formatNames, promptIds, type Row } from '../data/formats/formats.js'
import { formatOfPrompt, type PromptFormat, type PromptText, rowPrompt, textPrompt } from '../data/prompt.js'
import type { ChatMessage } from '../data/tokenizer/chat-template.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { Adapter } from './adapter.js'
import { flattenIds } from './batch.js'
import type { Model } from './model.js'

/**
 * A text, chat messages, token ids, what `data.prompt(row)` gives, or a row of a format, such as { instruction, input }.
 *
 * With an adapter that knows the format of its training (see `Adapter.promptFormat`), a plain text stands for that format's question:
 * alpaca's instruction, gsm8k's question, a message of the user. `raw: true` takes it as it is.
 */
export type Prompt = string | readonly ChatMessage[] | ArrayLike<number> | PromptText | Row

/** What decides how a prompt is read. */
export interface PromptReading {
  adapter?: Adapter | undefined
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

/** The format that was asked for, or the one that the adapter remembers. */
function knownFormat({ adapter, format, raw }: PromptReading): PromptFormat | undefined {
  const remembered = adapter?.promptFormat
  if (format !== undefined)
    return remembered?.format === format ? remembered : { format, fields: {}, chatTemplateKwargs: {} }
  return raw === true ? undefined : remembered
}

/** The format of a row: the one that is known where it has the columns, else the one format that has them. */
function formatOfRow(row: Row, reading: PromptReading): PromptFormat {
  const known = knownFormat(reading)
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

async function idsOf(model: Model, prompt: Prompt, reading: PromptReading): Promise<ArrayLike<number>> {
  if (typeof prompt === 'string') {
    const tokenizer = await model.tokenizer()
    const format = knownFormat(reading)
    const asked = format === undefined || reading.raw === true ? null : textPrompt(prompt, format, tokenizer)
    return asked?.inputIds ?? promptIds(tokenizer, prompt, true)
  }
  if (isMessages(prompt)) {
    const tokenizer = await model.tokenizer()
    const variables = knownFormat(reading)?.chatTemplateKwargs ?? {}
    return promptIds(tokenizer, tokenizer.applyChatTemplate(prompt, { addGenerationPrompt: true, variables }), false)
  }
  if (!isObject(prompt) || isListOfIds(prompt)) return prompt as ArrayLike<number>
  if ('inputIds' in prompt) return prompt.inputIds as ArrayLike<number>
  const format = formatOfRow(prompt as Row, reading)
  return rowPrompt(prompt as Row, format, await model.tokenizer()).inputIds
}

/**
 * The ids that a prompt stands for.
 * @throws FedloraError `E_ARGUMENT`, `E_DATA`, `E_TOKENIZER`.
 */
export async function resolvePrompt(model: Model, prompt: Prompt, reading: PromptReading): Promise<Int32Array> {
  const ids = await idsOf(model, prompt, reading)
  if (typeof ids !== 'object' || ids === null || !(ids.length > 0)) {
    throw new FedloraError(
      'E_ARGUMENT',
      `generate: the prompt is ${describeValue(prompt)}, expected at least one token`,
    )
  }
  return flattenIds([ids], model.config.vocabulary, 'prompt').ids
}
