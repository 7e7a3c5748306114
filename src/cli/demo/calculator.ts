/**
 * Calculator accuracy: given a question and its answer up to `<<expression=`, does the greedy continuation, of 12 tokens at
 * most, begin with the reference's result up to and with `>>`?
 */
import type { Dataset } from '../../data/dataset.js'
import type { Tokenizer } from '../../data/tokenizer/tokenizer.js'

const calculatorTokens = 12

export interface CalculatorPrompt {
  ids: number[]
  /** What the continuation must begin with, such as `24>>`. */
  want: string
}

/** The first `limit` prompts of the rows, in order. */
export function calculatorPrompts(data: Dataset, tokenizer: Tokenizer, limit: number): CalculatorPrompt[] {
  const prompts: CalculatorPrompt[] = []
  for (let row = 0; row < data.length; row++) {
    const answer = String(data.row(row).answer)
    for (const match of answer.matchAll(/<<[^<>=]*=/g)) {
      if (prompts.length >= limit) return prompts
      const end = match.index + match[0].length
      const said = tokenizer.encodeContinuation(answer.slice(0, end))
      prompts.push({
        ids: [...data.prompt(row).inputIds, ...said],
        want: answer.slice(end, answer.indexOf('>>', end) + 2),
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
