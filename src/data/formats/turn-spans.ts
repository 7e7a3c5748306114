/** Where turns begin and end in a rendered conversation, by rendering parts of it: two renderings a turn. */
import { FedloraError } from '../../errors.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Span } from './format.js'

/** The text of some turns. */
export type Render = (turns: readonly ChatMessage[], addGenerationPrompt?: boolean) => string

/** What stands for the content of a turn where its place is looked for. */
export const mark = (index: number) => `\u2983fedlora:${index}\u2984`

export function textOrNull(render: Render, turns: readonly ChatMessage[], addGenerationPrompt = false): string | null {
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

export function spansOfTurns(
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
