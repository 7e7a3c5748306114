/**
 * The demo's private data and its judge: GSM8K by the kind of arithmetic that an answer needs, one client a kind.
 *
 * The calculator annotations <<48/2=24>> tell the kind: "divide" where one holds a /, "multiply" where one holds a * and none a /,
 * "add" otherwise. Rows longer than the model's positions are left out.
 */
import { readFile } from 'node:fs/promises'
import { FedloraError } from '../../errors.js'

export const kinds = ['add', 'multiply', 'divide'] as const
export type Kind = (typeof kinds)[number]

export interface Row {
  question: string
  answer: string
}

/** A row as tokens: the prompt and the completion are tokenised each on its own and joined. */
export interface EncodedRow extends Row {
  promptIds: number[]
  completionIds: number[]
}

export interface Encoder {
  encode(text: string, options: { addSpecialTokens: boolean }): number[]
  readonly eosToken: number | undefined
}

/** The kind of arithmetic in an answer. */
export function kindOf(answer: string): Kind {
  const operators = [...answer.matchAll(/<<([^=>]*)=/g)].map((match) => match[1]).join('')
  return operators.includes('/') ? 'divide' : operators.includes('*') ? 'multiply' : 'add'
}

/** The rows of a GSM8K file, in order. */
export async function readRows(path: string): Promise<Row[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Row)
}

/** A row as tokens, or undefined when it is longer than `maxLength`. */
function encodeRow(row: Row, tokenizer: Encoder, maxLength: number): EncodedRow | undefined {
  const end = tokenizer.eosToken
  if (end === undefined) throw new FedloraError('E_TOKENIZER', 'the demo needs a tokenizer with an end token')
  const promptIds = tokenizer.encode(`Question: ${row.question}\nAnswer: `, { addSpecialTokens: false })
  const completionIds = [...tokenizer.encode(row.answer, { addSpecialTokens: false }), end]
  if (promptIds.length + completionIds.length > maxLength) return undefined
  return { ...row, promptIds, completionIds }
}

/** The first `each` fitting rows of every kind; rows that are not needed are not tokenised. */
export function clientRows(rows: readonly Row[], tokenizer: Encoder, each: number, maxLength: number): EncodedRow[][] {
  const clients = new Map<Kind, EncodedRow[]>(kinds.map((kind) => [kind, []]))
  for (const row of rows) {
    const client = clients.get(kindOf(row.answer))!
    if (client.length >= each) continue
    const encoded = encodeRow(row, tokenizer, maxLength)
    if (encoded) client.push(encoded)
  }
  return [...clients.values()]
}

/** Fitting rows, all kinds, in order. */
export function judgeRows(rows: readonly Row[], tokenizer: Encoder, maxLength: number): EncodedRow[] {
  return rows.map((row) => encodeRow(row, tokenizer, maxLength)).filter((row) => row !== undefined)
}

/** What a data set of format `tokens` takes: loss on the completion only. */
export function toTokenRow(row: EncodedRow): { input_ids: number[]; labels: number[] } {
  return {
    input_ids: [...row.promptIds, ...row.completionIds],
    labels: [...row.promptIds.map(() => -100), ...row.completionIds],
  }
}
