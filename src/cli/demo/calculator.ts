/**
 * Calculator accuracy: given a question and its answer up to `<<expression=`, does the greedy continuation, of 12 tokens at
 * most, begin with the reference's result up to and with `>>`?
 */
import type { EncodedRow, Encoder } from './data.js'

const calculatorTokens = 12

export interface CalculatorPrompt {
  ids: number[]
  /** What the continuation must begin with, such as `24>>`. */
  want: string
}

/** The first `limit` prompts of the rows, in order. */
export function calculatorPrompts(rows: readonly EncodedRow[], tokenizer: Encoder, limit: number): CalculatorPrompt[] {
  const prompts: CalculatorPrompt[] = []
  for (const row of rows) {
    for (const match of row.answer.matchAll(/<<[^<>=]*=/g)) {
      if (prompts.length >= limit) return prompts
      const end = match.index + match[0].length
      const ids = tokenizer.encode(row.answer.slice(0, end), { addSpecialTokens: false })
      prompts.push({
        ids: [...row.promptIds, ...ids],
        want: row.answer.slice(end, row.answer.indexOf('>>', end) + 2),
      })
    }
  }
  return prompts
}

/** Share of prompts continued rightly. A continuation is left as soon as no further token can change the verdict. */
export async function calculatorAccuracy(
  prompts: readonly CalculatorPrompt[],
  continueGreedily: (ids: number[], maxTokens: number) => AsyncIterable<string>,
): Promise<number> {
  let right = 0
  for (const { ids, want } of prompts) {
    let text = ''
    for await (const piece of continueGreedily(ids, calculatorTokens)) {
      text += piece
      if (text.startsWith(want) || !want.startsWith(text)) break
    }
    if (text.startsWith(want)) right++
  }
  return prompts.length === 0 ? 0 : right / prompts.length
}
