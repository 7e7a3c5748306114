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

import { FedloraError } from '../../errors.js'
import { stringifyExactly } from '../../files/exact-json.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Span } from './format.js'

/** A conversation in its template. */
export interface Rendering {
  text: string
  /** The stretch of each turn that was asked for, in order. */
  spans: Span[]
  /** The template marked the spans itself. */
  marked: boolean
}

type Variables = Readonly<Record<string, unknown>>
type Render = (turns: readonly ChatMessage[], addGenerationPrompt?: boolean) => string

const mark = (index: number) => `\u2983fedlora:${index}\u2984`

function textOrNull(render: Render, turns: readonly ChatMessage[], addGenerationPrompt = false): string | null {
  try {
    return render(turns, addGenerationPrompt)
  } catch {
    return null // A template may refuse part of a conversation that it takes as a whole.
  }
}

const markTexts = new WeakMap<Tokenizer, readonly string[]>()

/** The special tokens as they stand in a text, the longest first. */
function specialTexts(tokenizer: Tokenizer): readonly string[] {
  let texts = markTexts.get(tokenizer)
  if (texts === undefined) {
    texts = [...tokenizer.specialTokens].map((id) => tokenizer.decode([id])).filter((text) => text !== '')
    texts = [...texts].sort((a, b) => b.length - a.length)
    markTexts.set(tokenizer, texts)
  }
  return texts
}

/** Whether `text` ends in a special token. */
export function endsInSpecialToken(tokenizer: Tokenizer, text: string): boolean {
  return specialTexts(tokenizer).some((token) => text.endsWith(token))
}

/** Past the special token at `from`, white space before it allowed; `from` itself when there is none. */
function pastEndToken(tokenizer: Tokenizer, text: string, from: number): number {
  const rest = text.slice(from)
  const next = rest.trimStart()
  const token = specialTexts(tokenizer).find((token) => next.startsWith(token))
  return token === undefined ? from : from + rest.length - next.length + token.length
}

/** `span` without the white space after its last special token: the model stops at that token and never writes what follows. */
function withoutTrailer(tokenizer: Tokenizer, whole: string, [begin, end]: Span): Span {
  const said = whole.slice(begin, end).trimEnd()
  return endsInSpecialToken(tokenizer, said) ? [begin, begin + said.length] : [begin, end]
}

/** What stands before and after the content of turn `index`, when it is replaced by a mark; null when the mark is not shown once. */
function aroundMark(render: Render, turns: readonly ChatMessage[], index: number): [string, string] | null {
  const rendered = textOrNull(
    render,
    turns.map((turn, i) => (i === index ? { ...turn, content: mark(0) } : turn)),
  )
  const parts = rendered?.split(mark(0))
  return parts?.length === 2 ? [parts[0]!, parts[1]!] : null
}

/** The span of turn `index` of `whole` by renderings of parts of the conversation, and by a mark where those do not fit; or null. */
function spanOfTurn(tokenizer: Tokenizer, render: Render, turns: readonly ChatMessage[], index: number, whole: string) {
  const head = textOrNull(render, turns.slice(0, index), true)
  const tail = index === turns.length - 1 ? whole : textOrNull(render, turns.slice(0, index + 1))
  const headFits = head !== null && whole.startsWith(head)
  if (headFits && tail?.startsWith(head) && whole.startsWith(tail)) return [head.length, tail.length] as const

  const around = aroundMark(render, turns, index)
  if (around === null) return null
  const [before, after] = around
  const contentEnd = whole.length - after.length
  if (!whole.startsWith(before) || !whole.endsWith(after) || contentEnd < before.length) return null
  const begin = headFits && head.length <= before.length ? head.length : before.length
  // What the turn has after its content (tool calls, the end token) is what it has where it is the last one.
  const own = aroundMark(render, turns.slice(0, index + 1), index)?.[1]
  const end =
    own !== undefined && after.startsWith(own) ? contentEnd + own.length : pastEndToken(tokenizer, whole, contentEnd)
  return [begin, end] as const
}

function spansOfTurns(
  tokenizer: Tokenizer,
  render: Render,
  turns: readonly ChatMessage[],
  asked: readonly number[],
  whole: string,
): Span[] {
  const spans: Span[] = []
  for (const index of asked) {
    const span = spanOfTurn(tokenizer, render, turns, index, whole)
    if (span === null || span[0] < (spans.at(-1)?.[1] ?? 0)) {
      throw new FedloraError(
        'E_DATA',
        `messages[${index}]: the chat template does not show where this turn begins and ends`,
        { field: `messages[${index}]` },
      )
    }
    spans.push(withoutTrailer(tokenizer, whole, span))
  }
  return spans
}

/** A place in a frame: characters into the piece that stands before mark number `piece`. */
type Place = readonly [piece: number, offset: number]

/** The text around the contents of one shape of conversation, and where its turns lie. */
interface Frame {
  readonly pieces: readonly string[]
  readonly spans: readonly (readonly [begin: Place, end: Place])[]
}

/** Where position `at` of the text with marks lies; null inside a mark. */
function place(pieces: readonly string[], at: number): Place | null {
  let from = 0
  for (const [i, piece] of pieces.entries()) {
    if (at <= from + piece.length) return at < from ? null : [i, at - from]
    from += piece.length + mark(i).length
  }
  return null
}

/** The frame of a shape, or null where its template does not show every content once and in order. */
function makeFrame(
  tokenizer: Tokenizer,
  render: Render,
  turns: readonly ChatMessage[],
  asked: readonly number[],
): Frame | null {
  let marks = 0
  const marked = turns.map((turn) => (typeof turn.content === 'string' ? { ...turn, content: mark(marks++) } : turn))
  const whole = textOrNull(render, marked)
  if (whole === null) return null
  const pieces: string[] = []
  let rest = whole
  for (let i = 0; i < marks; ++i) {
    const parts = rest.split(mark(i))
    if (parts.length !== 2) return null
    pieces.push(parts[0]!)
    rest = parts[1]!
  }
  pieces.push(rest)
  const spans = spansOfTurns(tokenizer, render, marked, asked, whole).map(([begin, end]) => {
    const places = [place(pieces, begin), place(pieces, end)]
    return places.includes(null) ? null : (places as [Place, Place])
  })
  return spans.includes(null) ? null : { pieces, spans: spans as [Place, Place][] }
}

/** The spans in `whole`, when it is `frame` around the contents of `turns`, whole or without white space at their ends; else null. */
function spansInFrame(frame: Frame, turns: readonly ChatMessage[], whole: string): Span[] | null {
  const { pieces } = frame
  if (!whole.startsWith(pieces[0]!)) return null
  const starts = [0]
  let at = pieces[0]!.length
  for (const { content } of turns) {
    if (typeof content !== 'string') continue
    const next = pieces[starts.length]!
    const shown = [content, content.trim(), content.trimEnd(), content.trimStart()].find(
      (text) => whole.startsWith(text, at) && whole.startsWith(next, at + text.length),
    )
    if (shown === undefined) return null
    starts.push(at + shown.length)
    at += shown.length + next.length
  }
  if (at !== whole.length) return null
  const position = ([piece, offset]: Place) => starts[piece]! + offset
  return frame.spans.map(([begin, end]) => [position(begin), position(end)])
}

/** Frames of the last shapes met, by tokenizer; null: the shape has none. */
const framesOf = new WeakMap<Tokenizer, Map<string, Frame | null>>()
const framesKept = 64

function frameOf(
  tokenizer: Tokenizer,
  render: Render,
  turns: readonly ChatMessage[],
  variables: Variables,
  asked: readonly number[],
): Frame | null {
  const frames = framesOf.get(tokenizer) ?? new Map<string, Frame | null>()
  framesOf.set(tokenizer, frames)
  const bare = turns.map((turn) => (typeof turn.content === 'string' ? { ...turn, content: '' } : turn))
  const key = stringifyExactly([bare, variables, asked])
  let frame = frames.get(key)
  if (frame === undefined) {
    try {
      frame = makeFrame(tokenizer, render, turns, asked)
    } catch (error) {
      if (!(error instanceof FedloraError)) throw error
      frame = null
    }
  }
  frames.delete(key)
  frames.set(key, frame)
  if (frames.size > framesKept) frames.delete(frames.keys().next().value!)
  return frame
}

/**
 * The conversation as text, and the stretches of the turns `asked` for.
 *
 * @throws E_DATA when the template refuses the conversation, or does not show where a turn begins and ends
 */
export function renderTurns(
  tokenizer: Tokenizer,
  turns: readonly ChatMessage[],
  variables: Variables,
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
