/** `alpaca`: { instruction, input?, output }. */

import { checkTexts, type Format, promptAndCompletion, text } from './format.js'
import { instructionPrompt } from './instruction.js'

export const alpaca: Format = {
  fields: ['instruction', 'input', 'output'],
  needsTokenizer: true,
  check: checkTexts(['instruction', 'output'], ['input']),
  segments: (row) =>
    promptAndCompletion(instructionPrompt(text(row, 'instruction'), text(row, 'input')), text(row, 'output')),
}
