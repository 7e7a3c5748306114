/** Content in parts, for templates that take parts and for those that take texts only. */

import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

const takers = new WeakMap<Tokenizer, boolean>()

/** Whether the template renders a content of one part of text as it renders the text. */
function takesParts(tokenizer: Tokenizer): boolean {
  let takes = takers.get(tokenizer)
  if (takes === undefined) {
    const rendered = (content: unknown) => {
      try {
        return tokenizer.applyChatTemplate([{ role: 'user', content: content as string }])
      } catch {
        return null
      }
    }
    const plain = rendered('fedlora')
    takes = plain !== null && plain === rendered([{ type: 'text', text: 'fedlora' }])
    takers.set(tokenizer, takes)
  }
  return takes
}

const joined = (content: unknown) => (content as { text: string }[]).map(({ text }) => text).join('')

/** The turns with contents that the template takes: parts as they are where it does, else their texts joined. */
export function templateContents(tokenizer: Tokenizer, turns: readonly ChatMessage[]): readonly ChatMessage[] {
  const inParts = (turn: ChatMessage) => Array.isArray(turn.content) && turn.role !== 'tool'
  if (!turns.some(inParts) || takesParts(tokenizer)) return turns
  return turns.map((turn) => (inParts(turn) ? { ...turn, content: joined(turn.content) } : turn))
}
