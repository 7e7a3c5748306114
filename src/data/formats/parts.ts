/** Contents in parts and contents that are texts, for templates that take both, or one of them only. */

import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

type Taken = 'both' | 'texts' | 'parts'

const known = new WeakMap<Tokenizer, Taken>()

const probe = 'fedlora'

/** What the template makes of a turn of the user; null when it refuses it. */
function rendered(tokenizer: Tokenizer, content: ChatMessage['content']): string | null {
  try {
    return tokenizer.applyChatTemplate([{ role: 'user', content }])
  } catch {
    return null
  }
}

/**
 * Both, where one part of text is rendered as the text. Templates of multimodal models (Idefics 3, SmolVLM) go through parts and leave out a content
 * that has none; templates for texts write a list as it stands.
 */
function takenBy(tokenizer: Tokenizer): Taken {
  let taken = known.get(tokenizer)
  if (taken === undefined) {
    const text = rendered(tokenizer, probe)
    const parts = rendered(tokenizer, [{ type: 'text', text: probe }])
    if (text !== null && text === parts) taken = 'both'
    else taken = parts?.includes(probe) && !text?.includes(probe) ? 'parts' : 'texts'
    known.set(tokenizer, taken)
  }
  return taken
}

const joined = (content: unknown) => (content as { text: string }[]).map(({ text }) => text).join('')

/** The turns with contents that the template takes: as they are where it does, else texts as one part, or the texts of parts joined. */
export function templateContents(tokenizer: Tokenizer, turns: readonly ChatMessage[]): readonly ChatMessage[] {
  const texts = turns.some(({ content }) => typeof content === 'string')
  const parts = turns.some(({ role, content }) => Array.isArray(content) && role !== 'tool')
  const taken = texts || parts ? takenBy(tokenizer) : 'both'
  if (taken === 'parts' && texts)
    return turns.map((turn) =>
      typeof turn.content === 'string' ? { ...turn, content: [{ type: 'text', text: turn.content }] } : turn,
    )
  if (taken === 'texts' && parts)
    return turns.map((turn) =>
      Array.isArray(turn.content) && turn.role !== 'tool' ? { ...turn, content: joined(turn.content) } : turn,
    )
  return turns
}
