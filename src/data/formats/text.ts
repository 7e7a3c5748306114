/** `text`: { text }, all of it supervised. */

import { checkTexts, type Format, text } from './format.js'

export const plainText: Format = {
  fields: ['text'],
  needsTokenizer: true,
  check: checkTexts(['text']),
  segments: (row) => [{ special: 'start' }, { text: text(row, 'text'), supervised: true }, { special: 'end' }],
}
