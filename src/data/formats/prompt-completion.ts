/** `prompt-completion`: { prompt, completion }, both as they are; or both lists of turns, in the tokenizer's chat template. */

import { describeField } from '../../errors/describe.js'
import { besideTurns, isChatPair, isProblem, nothingSaid, readChatPair } from './conversation.js'
import { blankText, checkTexts, defaultFormatOptions, type Format, type Row, type RowProblem, text } from './format.js'
import { conversationPrompt, conversationSegments } from './messages.js'

const checkPair = checkTexts(['prompt', 'completion'])
const checkPrompt = checkTexts(['prompt'])

/** What only a conversation has beside it. */
function noColumnsOfChat(row: Row): RowProblem | null {
  const field = besideTurns.find((name) => row[name] !== undefined && row[name] !== null)
  if (field === undefined) return null
  return {
    field,
    expected: 'nothing beside a prompt in text (a list of turns may have it)',
    found: describeField(row[field]),
  }
}

export const promptCompletion: Format = {
  fields: ['prompt', 'completion', ...besideTurns],
  needsTokenizer: true,
  conversational: true,
  check(row) {
    if (!isChatPair(row)) return checkPair(row) ?? noColumnsOfChat(row) ?? blankText(row, 'completion')
    const read = readChatPair(row)
    return isProblem(read) ? read : nothingSaid(read, 'completion')
  },
  segments(row, tokenizer, options = defaultFormatOptions) {
    if (isChatPair(row)) return conversationSegments(readChatPair(row), tokenizer, options)
    return [
      { text: text(row, 'prompt'), specialTokens: true, supervised: [] },
      { continuation: text(row, 'completion') },
      { end: true },
    ]
  },
  prompt: {
    field: 'prompt',
    check(row) {
      if (!isChatPair(row)) return checkPrompt(row) ?? noColumnsOfChat(row)
      const read = readChatPair(row, false)
      return isProblem(read) ? read : null
    },
    text(row, tokenizer, options) {
      if (isChatPair(row)) return conversationPrompt(readChatPair(row, false), tokenizer, options)
      return { text: text(row, 'prompt'), specialTokens: true }
    },
    isPrompt: () => true,
  },
}
