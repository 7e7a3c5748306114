/** `alpaca`: { instruction, input?, output }. */

import { promptFormat, text } from './format.js'
import { instructionPrompt, isInstructionPrompt } from './instruction.js'

export const alpaca = promptFormat({
  field: 'instruction',
  optional: ['input'],
  completion: 'output',
  prompt: (row) => instructionPrompt(text(row, 'instruction'), text(row, 'input')),
  isPrompt: isInstructionPrompt,
})
