/**
 * Where the assistant's turns lie in a rendered conversation.
 *
 * A template that marks them itself ({% generation %}) is believed. Otherwise a turn begins where the conversation up to it, rendered with
 * the generation prompt, ends, and ends where the conversation up to and with it does. To find that out takes two renderings a turn;
 * therefore it is done once for each shape of conversation (roles, number of turns, everything but the contents), over contents replaced by
 * marks: what lies between the marks is the frame of the turns, and a conversation whose rendering is that frame around its contents has
 * its turns where the frame has them. Templates that treat a turn by what it says, or by what follows (some drop the reasoning of earlier
 * turns), are asked turn by turn.
 */

import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Span } from './format.js'
import { frameOf, spansInFrame } from './turn-frames.js'
import { type Render, spansOfTurns } from './turn-spans.js'

/** A conversation in its template. */
export interface Rendering {
  text: string
  /** The stretch of each turn that was asked for, in order. */
  spans: Span[]
  /** The template marked the spans itself. */
  marked: boolean
}

/**
 * The conversation as text, and the stretches of the turns `asked` for.
 *
 * @throws E_DATA when the template refuses the conversation, or does not show where a turn begins and ends
 */
export function renderTurns(
  tokenizer: Tokenizer,
  turns: readonly ChatMessage[],
  variables: Readonly<Record<string, unknown>>,
  asked: readonly number[],
): Rendering {
  const render: Render = (some, addGenerationPrompt = false) =>
    tokenizer.renderChat(some, { addGenerationPrompt, variables }).text
  const { text, spans: said } = tokenizer.renderChat(turns, { variables })
  const marked = tokenizer.chatTemplate?.marksGeneration === true
  if (asked.length === 0) return { text, spans: [], marked }
  const speakers = turns.flatMap(({ role }, index) => (role === 'assistant' ? [index] : []))
  if (marked && asked.length === speakers.length) return { text, spans: said, marked }
  if (marked && said.length === speakers.length) {
    return { text, spans: said.filter((_, i) => asked.includes(speakers[i]!)), marked }
  }
  const frame = frameOf(tokenizer, render, turns, variables, asked)
  const found = (frame && spansInFrame(frame, turns, text)) ?? spansOfTurns(tokenizer, render, turns, asked, text)
  if (!marked) return { text, spans: found, marked }
  // Some turns only, of a template that marks them in several pieces: those that begin in one of the turns.
  const within = ([at]: Span) => found.some(([begin, end]) => at >= begin && at < end)
  return { text, spans: said.filter(within), marked }
}
