/** `gsm8k`: { question, answer } as "Question: …\nAnswer: …". */

import { promptFormat, text } from './format.js'

export const gsm8k = promptFormat({
  field: 'question',
  completion: 'answer',
  prompt: (row) => `Question: ${text(row, 'question')}\nAnswer: `,
  isPrompt: (given) => given.startsWith('Question: ') && given.endsWith('\nAnswer: '),
})
