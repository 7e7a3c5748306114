/** What has been said in a chat, and the prompt that the next message makes of it. */
import { formats } from '../../data/formats/formats.js'
import type { ChatMessage, Tokenizer } from '../../data/index.js'
import type { PromptFormat } from '../../data/prompt.js'
import { FedloraError } from '../../errors.js'
import type { Prompt } from '../../model/prompt.js'

/** A chat with a memory (a chat template's), or one in which each message stands alone (a format of one prompt and one completion). */
export class History {
  /** The format in which each message stands alone; undefined where the conversation is remembered. */
  readonly single: PromptFormat | undefined
  readonly #system: readonly ChatMessage[]
  #turns: ChatMessage[]

  /**
   * @param format - what the adapter was trained on, or was asked for.
   * @throws FedloraError `E_TOKENIZER` when neither a format nor a template says how a message is put.
   */
  constructor(tokenizer: Tokenizer, format: PromptFormat | undefined, system?: string) {
    const single = format !== undefined && !['messages', 'text', 'tokens'].includes(format.format) ? format : undefined
    if (single === undefined && !tokenizer.hasChatTemplate) {
      throw new FedloraError(
        'E_TOKENIZER',
        `${tokenizer.folder}: has no chat template, and no format is known to put a message in; use an instruct model, an adapter that fedlora ` +
          'trained on a format of questions (it remembers the format), or --format alpaca; fedlora generate --prompt continues a text',
        { folder: tokenizer.folder },
      )
    }
    if (single !== undefined && system !== undefined) {
      const message = `--system: the format ${single.format} has no place for it`
      throw new FedloraError('E_ARGUMENT', message, { format: single.format })
    }
    this.single = single
    this.#system = system === undefined ? [] : [{ role: 'system', content: system }]
    this.#turns = [...this.#system]
  }

  /** Turns said so far, the system's not counted. */
  get length(): number {
    return this.#turns.length - this.#system.length
  }

  /** The prompt for a message of the user. */
  prompt(message: string): Prompt {
    if (this.single === undefined) return [...this.#turns, { role: 'user', content: message }]
    return { [formats[this.single.format as 'alpaca'].prompt.field]: message }
  }

  /** Remembers a message and its answer, where the chat has a memory. */
  add(message: string, answer: string): void {
    if (this.single !== undefined) return
    this.#turns.push({ role: 'user', content: message }, { role: 'assistant', content: answer })
  }

  reset(): void {
    this.#turns = [...this.#system]
  }
}
