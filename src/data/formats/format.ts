/** What a format is: the fields it wants of a row, and the row as segments of text. */

import { z } from 'zod'
import type { Tokenizer } from '../tokenizer.js'

/** One row of a data set as it was read: field names to values. */
export type Row = Readonly<Record<string, unknown>>

/**
 * A part of a row. Each is turned into ids on its own and the ids are joined, so that a completion has the same ids in training as
 * when the model writes it after the prompt.
 */
export type Segment =
  /** Text; `supervised` text is what the model learns to write. */
  | { text: string; supervised: boolean }
  /** Ids as they are, each with its label (-100: not supervised). */
  | { ids: ArrayLike<number>; labels: ArrayLike<number> }
  /** 'start': the special tokens that the tokenizer puts before a text. 'end': the end token, supervised. */
  | { special: 'start' | 'end' }

/** Why a row is refused. */
export interface RowProblem {
  field: string
  expected: string
  found: string
}

export interface Format {
  /** Names of the fields that {@link check} and {@link segments} read, for renaming. */
  readonly fields: readonly string[]
  /** The field that names a row's category when the caller does not say. */
  readonly category?: string
  /** False when ids are given and no tokenizer is needed. */
  readonly needsTokenizer: boolean
  /** What is wrong with the row, or null. */
  check(row: Row): RowProblem | null
  /** The segments of a row that passed {@link check}. */
  segments(row: Row, tokenizer: Tokenizer): Segment[]
}

/** A value in a few words, for messages. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'string')
    return value.length > 40 ? `the text ${JSON.stringify(value.slice(0, 40))}…` : `the text ${JSON.stringify(value)}`
  return `the ${typeof value} ${String(value)}`
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
    return { field, expected: optional.includes(field) ? 'a text, or nothing' : 'a text', found: describe(row[field]) }
  }
}

/** A text field that {@link checkTexts} has passed; '' when it is missing. */
export function text(row: Row, field: string): string {
  const value = row[field]
  return typeof value === 'string' ? value : ''
}

/** A prompt with the tokenizer's special tokens before it, and a supervised completion that ends in the end token. */
export function promptAndCompletion(prompt: string, completion: string): Segment[] {
  return [
    { special: 'start' },
    { text: prompt, supervised: false },
    { text: completion, supervised: true },
    { special: 'end' },
  ]
}
