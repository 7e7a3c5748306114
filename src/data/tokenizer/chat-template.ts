/**
 * A model's own chat template (Jinja), found where Hugging Face folders keep it and rendered as transformers' apply_chat_template
 * renders it: the same preparation of the messages, the same variables, the same engine.
 */

import { FedloraError } from '../../errors.js'
import { strftime } from '../../template/clock.js'
import { TemplateError } from '../../template/errors.js'
import { toValue } from '../../template/input.js'
import { type Rendered, Template } from '../../template/template.js'
import type { Value } from '../../template/values.js'

/** One turn of a conversation. Fields whose value is null count as missing. */
export interface ChatMessage {
  /** 'system', 'user', 'assistant', or whatever else the template knows. */
  role: string
  /** Text, or parts such as `{ type: 'text', text }`; nothing beside tool calls. */
  content?: string | null | readonly Readonly<Record<string, unknown>>[]
  [key: string]: unknown
}

export interface ChatTemplateOptions {
  /** Ends the text with the opening of the assistant's turn. Default false. */
  addGenerationPrompt?: boolean
  /** Tools that the model may call, as JSON schemas. A folder's template named 'tool_use' is taken when they are given. */
  tools?: readonly object[] | null
  /** Documents to answer from. */
  documents?: readonly object[] | null
  /** Further variables that the template reads, such as `enable_thinking`. */
  variables?: Readonly<Record<string, unknown>>
}

/** One template, or several by name. */
export type ChatTemplateSource = string | ReadonlyMap<string, string>

/**
 * What a folder says: chat_template.jinja and additional_chat_templates/ before tokenizer_config.json, where `chat_template` is a text
 * or a list of `{ name, template }`.
 *
 * @param file chat_template.jinja
 * @param additional additional_chat_templates/<name>.jinja by name
 */
export function chatTemplateSource(
  file: string | null,
  configured: unknown,
  additional: ReadonlyMap<string, string> = new Map(),
): ChatTemplateSource | null {
  if (additional.size > 0) return file === null ? additional : new Map([['default', file], ...additional])
  if (file !== null) return file
  if (typeof configured === 'string') return configured
  if (!Array.isArray(configured)) return null
  const named = new Map<string, string>()
  for (const entry of configured) {
    if (typeof entry?.name === 'string' && typeof entry.template === 'string') named.set(entry.name, entry.template)
  }
  return named.size > 0 ? named : null
}

/** Names under which a message's reasoning is passed, the one that templates read first. */
const reasoningFields = ['reasoning_content', 'thinking', 'reasoning']
/** What the engine sets itself. */
const reserved = ['messages', 'add_generation_prompt']

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The message without fields that are null, its reasoning under each name that templates read. */
function prepared(message: ChatMessage): object {
  const kept: Record<string, unknown> = { ...message }
  for (const key of Object.keys(kept)) if (kept[key] === null || kept[key] === undefined) delete kept[key]
  const field = reasoningFields.find((name) => kept[name] !== undefined)
  if (field === undefined) return kept
  return { thinking: kept[field], ...kept, reasoning_content: kept[field] }
}

export class ChatTemplate {
  readonly #source: ChatTemplateSource
  readonly #variables: ReadonlyMap<string, Value>
  readonly #parsed = new Map<string, Template>()

  /**
   * Parses nothing yet: a folder may have a template that no conversation needs.
   *
   * @param variables the named special tokens, which templates read as `bos_token`, `eos_token`, …
   */
  constructor(source: ChatTemplateSource, variables: Readonly<Record<string, unknown>>) {
    this.#source = source
    this.#variables = new Map(Object.entries(variables).map(([name, value]) => [name, toValue(value)]))
  }

  /** Whether the text depends on the time at which it is rendered: the template may call `strftime_now`. */
  get usesClock(): boolean {
    return this.#texts().some((text) => text.includes('strftime_now'))
  }

  /** Whether the template marks what the assistant says with `{% generation %}` blocks. */
  get marksGeneration(): boolean {
    return this.#texts().some((text) => /\{%[-+]?\s*generation\s*[-+]?%\}/.test(text))
  }

  /** Whether a name occurs in the template; a variable that does not is of no use to it. */
  mentions(name: string): boolean {
    return this.#texts().some((text) => new RegExp(`\\b${name}\\b`).test(text))
  }

  /** What decides its texts beside the conversation: its sources, and the day where they ask the clock. */
  fingerprint(now = new Date()): string {
    const sources = typeof this.#source === 'string' ? this.#source : [...this.#source]
    return JSON.stringify([sources, this.usesClock ? strftime(now, '%F') : null])
  }

  #texts(): string[] {
    return typeof this.#source === 'string' ? [this.#source] : [...this.#source.values()]
  }

  /**
   * @throws E_DATA when the template refuses the conversation (for example roles that do not alternate); E_TOKENIZER when the template
   *   cannot be used: it does not parse, uses what is not supported, or works without end
   */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.renderWithSpans(messages, options).text
  }

  /**
   * Also where `{% generation %}` blocks lie in the text, in UTF-16 units, as transformers' `return_assistant_tokens_mask` has them; no
   * spans when the template has no such blocks ({@link marksGeneration}).
   *
   * @throws as {@link render}
   */
  renderWithSpans(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Rendered {
    const variables = this.#prepare(messages, options)
    try {
      return this.#template(variables.get('tools') !== null).render(variables)
    } catch (error) {
      throw fromTemplate(error, messages)
    }
  }

  #prepare(messages: readonly ChatMessage[], options: ChatTemplateOptions): Map<string, Value> {
    if (messages.length === 0)
      throw new FedloraError('E_DATA', 'chat template: expected a conversation of one message or more')
    const given = options.variables ?? {}
    const taken = reserved.find((name) => Object.hasOwn(given, name))
    if (taken !== undefined) {
      throw new FedloraError('E_DATA', `chat template: a variable cannot be named '${taken}'`, { field: taken })
    }
    const tools = objects('tools', options.tools ?? given.tools)
    const documents = objects('documents', options.documents ?? given.documents)
    const list = objects('messages', messages) as ChatMessage[]
    try {
      const variables = new Map(this.#variables)
      for (const [name, value] of Object.entries(given)) if (value !== undefined) variables.set(name, toValue(value))
      variables.set('messages', toValue(list.map(prepared)))
      variables.set('tools', toValue(tools))
      variables.set('documents', toValue(documents))
      return variables.set('add_generation_prompt', options.addGenerationPrompt ?? false)
    } catch (error) {
      throw fromTemplate(error, messages)
    }
  }

  #template(withTools: boolean): Template {
    const source = this.#source
    let name = 'default'
    let text: string | undefined
    if (typeof source === 'string') text = source
    else {
      if (withTools && source.has('tool_use')) name = 'tool_use'
      text = source.get(name)
    }
    if (text === undefined) {
      const names = [...(source as ReadonlyMap<string, string>).keys()].join(', ')
      throw new FedloraError('E_TOKENIZER', `chat template: expected one named 'default', found ${names}`)
    }
    let template = this.#parsed.get(name)
    if (template === undefined) {
      template = new Template(text)
      this.#parsed.set(name, template)
    }
    return template
  }
}

/** A list of objects, or null. */
function objects(field: string, value: unknown): readonly object[] | null {
  if (value === undefined || value === null) return null
  const bad = (where: string, expected: string): never => {
    throw new FedloraError('E_DATA', `${where}: expected ${expected}`, { field: where, expected })
  }
  if (!Array.isArray(value)) return bad(field, 'a list of objects')
  value.forEach((item, i) => {
    if (!isObject(item)) bad(`${field}[${i}]`, 'an object')
  })
  return value
}

function fromTemplate(error: unknown, messages: readonly ChatMessage[]): unknown {
  if (!(error instanceof TemplateError)) return error
  const line = error.line === undefined ? '' : `, line ${error.line}`
  if (error.kind === 'raised' || error.kind === 'runtime') {
    const roles = messages.map((message) => message.role).join(', ')
    const message = `chat template${line}: refuses a conversation of roles [${roles}]: ${error.message}`
    return new FedloraError('E_DATA', message, { line: error.line }, error)
  }
  const what = { syntax: 'not understood', unsupported: 'cannot be used', limit: 'stopped' }[error.kind]
  return new FedloraError('E_TOKENIZER', `chat template${line}: ${what}: ${error.message}`, { line: error.line }, error)
}
