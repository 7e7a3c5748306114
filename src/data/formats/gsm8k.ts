/** `gsm8k`: { question, answer }. No special tokens but the end token; prompt and answer are tokenised each on its own. */

import { checkTexts, type Format, text } from './format.js'

export const gsm8k: Format = {
  fields: ['question', 'answer'],
  needsTokenizer: true,
  check: checkTexts(['question', 'answer']),
  segments: (row) => [
    { text: `Question: ${text(row, 'question')}\nAnswer: `, supervised: false },
    { text: text(row, 'answer'), supervised: true },
    { special: 'end' },
  ],
}
