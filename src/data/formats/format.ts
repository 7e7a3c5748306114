/** What a format is: the columns it reads of a row, what of the row is the prompt, and the row as segments of text. */

import { z } from 'zod'
import { describeField } from '../../errors/describe.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

/** One row of a data set as it was read: field names to values. */
export type Row = Readonly<Record<string, unknown>>

/** A stretch of a text, in UTF-16 code units. */
export type Span = readonly [begin: number, end: number]

/** A text that is encoded once, as a whole; what lies in `supervised`, in order, is what the model learns to write. */
export interface TextSegment {
  text: string
  specialTokens: boolean
  supervised: readonly Span[]
}

/** A part of a row; their ids are joined. */
export type Segment =
  | TextSegment
  /** Supervised text that goes on where the segment before it ends, as the model writes it after the prompt. */
  | { continuation: string }
  /** Ids as they are, each with its label (-100: not supervised). */
  | { ids: ArrayLike<number>; labels: ArrayLike<number> }
  /** The end token, supervised, unless an end token stands there already. */
  | { end: true }

/** Why a row is refused. */
export interface RowProblem {
  field: string
  expected: string
  found: string
  /** What to do about it; default: mend the row, or skip it. */
  cure?: string
  /** The row is well-formed, but holds nothing to learn: it is left out and counted. */
  empty?: true
}

/** What a caller may say about how conversations are read. */
export interface FormatOptions {
  /** Which turns of a conversation are supervised: all of the assistant's, or the last of them. */
  readonly trainOn: 'assistant' | 'last'
  /** Variables of the chat template, for every row. */
  readonly chatTemplateKwargs: Readonly<Record<string, unknown>>
}

export const defaultFormatOptions: FormatOptions = { trainOn: 'assistant', chatTemplateKwargs: {} }

/** The part of a row that the model is given. */
export interface PromptOf {
  /** The column that a plain text stands for: `generate('…')` is `generate({ [field]: '…' })`. */
  readonly field: string
  /** What is wrong with the prompt's columns, or null; those of the completion may be missing. */
  check(row: Row): RowProblem | null
  /** The prompt's text, and whether the tokenizer's special tokens go around it. */
  text(row: Row, tokenizer: Tokenizer, options: FormatOptions): { text: string; specialTokens: boolean }
  /** Whether a plain text is a prompt of this format already. */
  isPrompt(text: string, tokenizer: Tokenizer): boolean
}

export interface Format {
  /** Names of the columns that are read, for renaming; any other column of a row is counted as ignored. */
  readonly fields: readonly string[]
  /** The field that names a row's category when the caller does not say. */
  readonly category?: string
  /** False when ids are given and no tokenizer is needed. */
  readonly needsTokenizer: boolean
  /** Whether rows may be conversations, which {@link FormatOptions} are about. */
  readonly conversational?: true
  /** What is wrong with the row, or null. */
  check(row: Row): RowProblem | null
  /** The segments of a row that passed {@link check}. */
  segments(row: Row, tokenizer: Tokenizer, options?: FormatOptions): Segment[]
  /** Missing where rows have no prompt. */
  readonly prompt?: PromptOf
}

/** `check` for rows of text fields. An optional field may be missing, null or empty. */
export function checkTexts(
  required: readonly string[],
  optional: readonly string[] = [],
): (row: Row) => RowProblem | null {
  const shape: Record<string, z.ZodType> = {}
  for (const field of required) shape[field] = z.string()
  for (const field of optional) shape[field] = z.string().nullish()
  const schema = z.object(shape)
  return (row) => {
    const result = schema.safeParse(row)
    if (result.success) return null
    const field = String(result.error.issues[0]?.path[0] ?? '')
    return {
      field,
      expected: optional.includes(field) ? 'a text, or nothing' : 'a text',
      found: describeField(row[field]),
    }
  }
}

/** A text field that {@link checkTexts} has passed; '' when it is missing. */
export function text(row: Row, field: string): string {
  const value = row[field]
  return typeof value === 'string' ? value : ''
}

/** The problem of a row whose `field` is blank, or null. */
export function blankText(row: Row, field: string): RowProblem | null {
  if (text(row, field).trim() !== '') return null
  return { field, expected: 'a text that is not blank', found: describeField(row[field]), empty: true }
}

/** A format of a prompt in text and a completion in text. */
export function promptFormat(options: {
  /** The column that a plain text stands for, and those that may be missing. */
  field: string
  optional?: readonly string[]
  completion: string
  category?: string
  prompt: (row: Row) => string
  isPrompt: (text: string) => boolean
}): Format & { prompt: PromptOf } {
  const { field, optional = [], completion, category, prompt, isPrompt } = options
  const whole = checkTexts([field, completion], category === undefined ? optional : [...optional, category])
  return {
    fields: [field, ...optional, completion, ...(category === undefined ? [] : [category])],
    ...(category === undefined ? {} : { category }),
    needsTokenizer: true,
    check: (row) => whole(row) ?? blankText(row, completion),
    segments: (row) => [
      { text: prompt(row), specialTokens: true, supervised: [] },
      { continuation: text(row, completion) },
      { end: true },
    ],
    prompt: {
      field,
      check: checkTexts([field], optional),
      text: (row) => ({ text: prompt(row), specialTokens: true }),
      isPrompt,
    },
  }
}
