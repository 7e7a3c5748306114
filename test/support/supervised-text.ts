/** A row as text, what is supervised in double angle brackets: the form in which documents and tests show labels. */
import type { LabelledIds } from '../../src/data/ids/sample.js'
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js'

export function supervisedText({ inputIds, labels }: LabelledIds, tokenizer: Tokenizer): string {
  let text = ''
  for (let from = 0; from < inputIds.length; ) {
    const supervised = labels[from] !== -100
    let to = from
    while (to < inputIds.length && (labels[to] !== -100) === supervised) ++to
    const piece = tokenizer.decode(inputIds.subarray(from, to))
    text += supervised ? `⟪${piece}⟫` : piece
    from = to
  }
  return text
}
