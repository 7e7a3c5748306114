/** Frames of conversations: the text that the template puts around the contents of turns, found once for each shape of conversation. */
import { FedloraError } from '../../errors.js'
import { stringifyExactly } from '../../files/exact-json.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Span } from './format.js'
import { mark, type Render, spansOfTurns, textOrNull } from './turn-spans.js'

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
export function spansInFrame(frame: Frame, turns: readonly ChatMessage[], whole: string): Span[] | null {
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

export function frameOf(
  tokenizer: Tokenizer,
  render: Render,
  turns: readonly ChatMessage[],
  variables: Readonly<Record<string, unknown>>,
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
