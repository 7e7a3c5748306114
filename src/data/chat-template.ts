/** A model's own chat template (Jinja), found where Hugging Face folders keep it. */

import { Template } from '@huggingface/jinja'
import { FedloraError } from '../errors.js'

/** One turn of a conversation. */
export interface ChatMessage {
  /** 'system', 'user', 'assistant', or whatever else the template knows. */
  role: string
  content: string
  [key: string]: unknown
}

export interface ChatTemplateOptions {
  /** Ends the text with the opening of the assistant's turn. Default false. */
  addGenerationPrompt?: boolean
  /** Further variables that the template reads, such as `tools` or `enable_thinking`. */
  variables?: Record<string, unknown>
}

/**
 * The template's source: chat_template.jinja before tokenizer_config.json, where `chat_template` is a text or a list of
 * `{ name, template }`, of which 'default' is taken.
 */
export function chatTemplateSource(file: string | null, configured: unknown): string | null {
  if (file !== null) return file
  if (typeof configured === 'string') return configured
  if (Array.isArray(configured)) {
    const named = configured.find((entry) => entry?.name === 'default') ?? configured[0]
    if (typeof named?.template === 'string') return named.template
  }
  return null
}

export class ChatTemplate {
  readonly #template: Template
  readonly #variables: Record<string, unknown>

  /** @param variables the named special tokens, which templates read as `bos_token`, `eos_token`, … */
  constructor(source: string, variables: Record<string, unknown>) {
    try {
      this.#template = new Template(source)
    } catch (error) {
      const message = `chat template: not understood: ${(error as Error).message}`
      throw new FedloraError('E_TOKENIZER', message, {}, error)
    }
    this.#variables = variables
  }

  /** @throws E_DATA when the template refuses the conversation (for example roles that do not alternate) */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    try {
      return this.#template.render({
        ...this.#variables,
        ...options.variables,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? false,
      })
    } catch (error) {
      const roles = messages.map((message) => message.role).join(', ')
      const message = `chat template: refuses a conversation of roles [${roles}]: ${(error as Error).message}`
      throw new FedloraError('E_DATA', message, {}, error)
    }
  }
}
