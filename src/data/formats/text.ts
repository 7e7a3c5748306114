/** `text`: { text }, all of it supervised. */

import { blankText, checkTexts, type Format, text } from './format.js'

const check = checkTexts(['text'])

export const plainText: Format = {
  fields: ['text'],
  needsTokenizer: true,
  check: (row) => check(row) ?? blankText(row, 'text'),
  segments(row) {
    const whole = text(row, 'text')
    return [{ text: whole, specialTokens: true, supervised: [[0, whole.length]] }, { end: true }]
  },
  prompt: {
    field: 'text',
    check,
    text: (row) => ({ text: text(row, 'text'), specialTokens: true }),
    isPrompt: () => true,
  },
}
