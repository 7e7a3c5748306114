/**
 * `messages`: { messages: [{ role, content }] }, or ShareGPT's { conversations: [{ from, value }] }, in the tokenizer's own chat
 * template. Only what the assistant says is supervised, up to and with the token that ends its turn.
 *
 * Where a turn lies in the rendered text is found by rendering: the conversation up to the turn with the generation prompt is where it
 * begins, the conversation up to and with the turn is where it ends. Templates that render a turn differently when more turns follow
 * (some drop the reasoning of earlier turns) do not have that prefix property; there the turn's content is replaced by a mark, and
 * what lies before and after the mark is the frame of the turn.
 */

import { FedloraError } from '../../errors.js'
import type { ChatMessage } from '../chat-template.js'
import type { Tokenizer } from '../tokenizer.js'
import { describe, type Format, type Row, type RowProblem, type Segment } from './format.js'

const shareGptRoles: Record<string, string> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  system: 'system',
}

function toMessages(row: Row): ChatMessage[] {
  if (row.messages !== undefined && row.messages !== null) return row.messages as ChatMessage[]
  const turns = row.conversations as { from: string; value: string }[]
  return turns.map((turn) => ({ role: shareGptRoles[turn.from]!, content: turn.value }))
}

function checkTurns(list: unknown, field: string, role: string, content: string): RowProblem | null {
  const expected = `a list of { ${role}, ${content} }`
  if (!Array.isArray(list) || list.length === 0) return { field, expected, found: describe(list) }
  for (let i = 0; i < list.length; ++i) {
    const turn = list[i]
    if (typeof turn !== 'object' || turn === null) return { field: `${field}[${i}]`, expected, found: describe(turn) }
    for (const name of [role, content]) {
      if (typeof turn[name] !== 'string') {
        return { field: `${field}[${i}].${name}`, expected: 'a text', found: describe(turn[name]) }
      }
    }
    if (role === 'from' && !Object.hasOwn(shareGptRoles, turn.from)) {
      const expected = `one of ${Object.keys(shareGptRoles).join(', ')}`
      return { field: `${field}[${i}].from`, expected, found: describe(turn.from) }
    }
  }
  return null
}

type Span = [begin: number, end: number]

/** The span of turn `index` by rendering prefixes of the conversation, or null when the template has no prefix property. */
function spanByPrefix(tokenizer: Tokenizer, messages: ChatMessage[], index: number, whole: string): Span | null {
  let head: string
  let tail: string
  try {
    head = tokenizer.applyChatTemplate(messages.slice(0, index), { addGenerationPrompt: true })
    tail = tokenizer.applyChatTemplate(messages.slice(0, index + 1))
  } catch {
    return null // A template may refuse part of a conversation that it takes as a whole.
  }
  return whole.startsWith(tail) && tail.startsWith(head) ? [head.length, tail.length] : null
}

/** Whether `text` ends in a special token. Its last characters are enough to tell: no special token is longer. */
function endsInSpecialToken(tokenizer: Tokenizer, text: string): boolean {
  const last = tokenizer.encode(text.slice(-128), { addSpecialTokens: false }).at(-1)
  return last !== undefined && tokenizer.specialTokens.has(last)
}

/** Past the special token at `from`, white space before it allowed; `from` itself when there is none. */
function pastEndToken(tokenizer: Tokenizer, text: string, from: number): number {
  const rest = text.slice(from)
  const next = rest.trimStart()
  let length = 0
  for (const id of tokenizer.specialTokens) {
    const token = tokenizer.decode([id])
    if (token.length > length && next.startsWith(token)) length = token.length
  }
  return length === 0 ? from : from + rest.length - next.length + length
}

/** The span of turn `index` by a mark in place of its content. */
function spanByMark(tokenizer: Tokenizer, messages: ChatMessage[], index: number, whole: string): Span | null {
  const mark = '\u2983fedlora\u2984'
  const marked = tokenizer.applyChatTemplate(
    messages.map((turn, i) => (i === index ? { ...turn, content: mark } : turn)),
  )
  const parts = marked.split(mark)
  if (parts.length !== 2) return null
  const [before, after] = parts as [string, string]
  const framed = whole.startsWith(before) && whole.endsWith(after) && whole.length >= before.length + after.length
  return framed ? [before.length, pastEndToken(tokenizer, whole, whole.length - after.length)] : null
}

/** `span` without the white space after its last special token: the model stops at that token and never writes what follows. */
function withoutTrailer(tokenizer: Tokenizer, whole: string, [begin, end]: Span): Span {
  const said = whole.slice(begin, end).trimEnd()
  return endsInSpecialToken(tokenizer, said) ? [begin, begin + said.length] : [begin, end]
}

export const messages: Format = {
  fields: ['messages', 'conversations'],
  needsTokenizer: true,
  check(row) {
    const shareGpt = (row.messages === undefined || row.messages === null) && row.conversations !== undefined
    return shareGpt
      ? checkTurns(row.conversations, 'conversations', 'from', 'value')
      : checkTurns(row.messages, 'messages', 'role', 'content')
  },
  segments(row, tokenizer) {
    const turns = toMessages(row)
    const whole = tokenizer.applyChatTemplate(turns)
    const segments: Segment[] = []
    let done = 0
    let ended = true
    turns.forEach((turn, index) => {
      if (turn.role !== 'assistant') return
      const span = spanByPrefix(tokenizer, turns, index, whole) ?? spanByMark(tokenizer, turns, index, whole)
      if (span === null || span[0] < done) {
        throw new FedloraError(
          'E_DATA',
          `messages[${index}]: the chat template does not show where this turn begins and ends`,
          {
            field: `messages[${index}]`,
          },
        )
      }
      const [begin, end] = withoutTrailer(tokenizer, whole, span)
      segments.push(
        { text: whole.slice(done, begin), supervised: false },
        { text: whole.slice(begin, end), supervised: true },
      )
      done = end
      ended = endsInSpecialToken(tokenizer, whole.slice(begin, end))
    })
    // A template that leaves the last turn open would never teach the model to stop.
    if (!ended && whole.slice(done).trim() === '') return [...segments, { special: 'end' }]
    segments.push({ text: whole.slice(done), supervised: false })
    return segments
  },
}
