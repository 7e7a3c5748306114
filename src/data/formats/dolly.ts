/** `dolly`: { instruction, context?, response, category? } in the instruction template, the context as its input. */

import { promptFormat, text } from './format.js'
import { instructionPrompt, isInstructionPrompt } from './instruction.js'

export const dolly = promptFormat({
  field: 'instruction',
  optional: ['context'],
  completion: 'response',
  category: 'category',
  prompt: (row) => instructionPrompt(text(row, 'instruction'), text(row, 'context')),
  isPrompt: isInstructionPrompt,
})
