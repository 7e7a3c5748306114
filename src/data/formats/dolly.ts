/** `dolly`: { instruction, context?, response, category? } in the instruction template, the context as its input. */

import { checkTexts, type Format, promptAndCompletion, text } from './format.js'
import { instructionPrompt } from './instruction.js'

export const dolly: Format = {
  fields: ['instruction', 'context', 'response', 'category'],
  category: 'category',
  needsTokenizer: true,
  check: checkTexts(['instruction', 'response'], ['context', 'category']),
  segments: (row) =>
    promptAndCompletion(instructionPrompt(text(row, 'instruction'), text(row, 'context')), text(row, 'response')),
}
