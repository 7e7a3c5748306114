/**
 * `messages`: { messages: [{ role, content }] }, or ShareGPT's { conversations: [{ from, value }] }, in the tokenizer's own chat
 * template. Only what the assistant says is supervised, up to and with the token that ends its turn.
 */

import type { Tokenizer } from '../tokenizer/tokenizer.js'
import {
  beforeAnswer,
  besideTurns,
  type Conversation,
  isProblem,
  nothingSaid,
  readConversation,
} from './conversation.js'
import {
  defaultFormatOptions,
  type Format,
  type FormatOptions,
  type Row,
  type RowProblem,
  type Segment,
} from './format.js'
import { templateContents } from './parts.js'
import { endsInSpecialToken } from './turn-spans.js'
import { renderTurns } from './turns.js'

/** A conversation that was checked as one segment. */
export function conversationSegments(
  read: Conversation | RowProblem,
  tokenizer: Tokenizer,
  { trainOn, chatTemplateKwargs }: FormatOptions,
): Segment[] {
  const { turns, trained, variables } = read as Conversation
  const last = turns.findLastIndex(({ role }) => role === 'assistant')
  const asked = trained.flatMap((is, index) => (is && (trainOn === 'assistant' || index === last) ? [index] : []))
  const contents = templateContents(tokenizer, turns)
  const { text, spans, marked } = renderTurns(tokenizer, contents, { ...chatTemplateKwargs, ...variables }, asked)
  const segment: Segment = { text, specialTokens: false, supervised: spans }
  const end = spans.at(-1)
  // A template that leaves the last turn open would never teach the model to stop.
  const open =
    end !== undefined &&
    !marked &&
    text.slice(end[1]).trim() === '' &&
    !endsInSpecialToken(tokenizer, text.slice(...end))
  return open ? [{ ...segment, text: text.slice(0, end[1]) }, { end: true }] : [segment]
}

/** The text after which the assistant answers: the conversation without its last word, and the opening of that. */
export function conversationPrompt(
  read: Conversation | RowProblem,
  tokenizer: Tokenizer,
  { chatTemplateKwargs }: FormatOptions,
): { text: string; specialTokens: boolean } {
  const { turns, variables } = read as Conversation
  const text = tokenizer.applyChatTemplate(templateContents(tokenizer, beforeAnswer(turns)), {
    addGenerationPrompt: true,
    variables: { ...chatTemplateKwargs, ...variables },
  })
  return { text, specialTokens: false }
}

/** Whether a text holds special tokens, as only a rendered conversation does. */
function isRendered(text: string, tokenizer: Tokenizer): boolean {
  return tokenizer.encode(text, { addSpecialTokens: false }).some((id) => tokenizer.specialTokens.has(id))
}

const problem = (read: Conversation | RowProblem) => (isProblem(read) ? read : null)

/** A plain text stands for a conversation of one turn of the user. */
const withText = (row: Row): Row =>
  typeof row.messages === 'string' ? { ...row, messages: [{ role: 'user', content: row.messages }] } : row

export const messages: Format = {
  fields: ['messages', 'conversations', ...besideTurns],
  needsTokenizer: true,
  conversational: true,
  check(row) {
    const read = readConversation(row)
    return isProblem(read) ? read : nothingSaid(read, 'messages')
  },
  segments: (row, tokenizer, options = defaultFormatOptions) =>
    conversationSegments(readConversation(row), tokenizer, options),
  prompt: {
    field: 'messages',
    check: (row) => problem(readConversation(withText(row))),
    text: (row, tokenizer, options) => conversationPrompt(readConversation(withText(row)), tokenizer, options),
    isPrompt: isRendered,
  },
}
