/** One turn of a conversation: OpenAI's ({ role, content }) or ShareGPT's ({ from, value }), checked. */
import { describeField } from '../../errors/describe.js'
import { Float, parseExactly } from '../../files/exact-json.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { RowProblem } from './format.js'

/** ShareGPT's speakers as the roles of chat templates. */
const speakers: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  model: 'assistant',
  assistant: 'assistant',
  system: 'system',
  tool: 'tool',
  observation: 'tool',
  function_response: 'tool',
  function_call: 'assistant',
}

/** Roles that no template knows under these names. */
const roleAliases: Readonly<Record<string, string>> = { human: 'user', gpt: 'assistant', chatgpt: 'assistant' }

export class Refusal {
  readonly problem: RowProblem
  constructor(field: string, expected: string, value: unknown) {
    this.problem = { field, expected, found: describeField(value) }
  }
}

export type Fields = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export const isMissing = (value: unknown) => value === undefined || value === null

function checkParts(parts: readonly unknown[], field: string): void {
  for (const [i, part] of parts.entries()) {
    const where = `${field}[${i}]`
    if (!isObject(part)) throw new Refusal(where, "{ type: 'text', text }", part)
    if (part.type !== 'text') throw new Refusal(`${where}.type`, "'text', the one kind of part that is read", part.type)
    if (typeof part.text !== 'string') throw new Refusal(`${where}.text`, 'a text', part.text)
  }
}

/** What an assistant's turn may say instead of content. */
function saysOtherwise(turn: Fields): boolean {
  const { tool_calls: calls, function_call: call, reasoning_content: reasoning } = turn
  return (Array.isArray(calls) && calls.length > 0) || isObject(call) || typeof reasoning === 'string'
}

function checkContent(turn: Fields, role: string, name: string, field: string): void {
  const content = turn[name]
  if (typeof content === 'string') return
  if (Array.isArray(content)) checkParts(content, `${field}.${name}`)
  else if (isMissing(content) ? role !== 'assistant' || !saysOtherwise(turn) : role !== 'tool') {
    const expected = role === 'assistant' ? 'a text, a list of parts, or tool_calls' : 'a text, or a list of parts'
    throw new Refusal(`${field}.${name}`, expected, content)
  }
}

/** Whether the turn may be trained on: `weight` as OpenAI's files have it, `train` as ShareGPT's. */
export function isTrained(turn: Fields, role: string, field: string): boolean {
  const { train } = turn
  const weight = turn.weight instanceof Float ? turn.weight.value : turn.weight
  if (!isMissing(weight) && weight !== 0 && weight !== 1) throw new Refusal(`${field}.weight`, '0 or 1', weight)
  if (!isMissing(train) && typeof train !== 'boolean') throw new Refusal(`${field}.train`, 'true or false', train)
  if (role !== 'assistant' && train === true) {
    throw new Refusal(
      `${field}.train`,
      `nothing: only the assistant's turns are trained on, not those of ${role}`,
      train,
    )
  }
  return role === 'assistant' && weight !== 0 && train !== false
}

/** The calls in the JSON text of a `function_call` turn. */
function functionCalls(value: unknown, field: string): unknown[] {
  const expected = 'JSON: { name, arguments }, or a list of such'
  let calls: unknown
  try {
    calls = parseExactly(String(value))
  } catch {
    throw new Refusal(field, expected, value)
  }
  return (Array.isArray(calls) ? calls : [calls]).map((call) => {
    if (!isObject(call) || typeof call.name !== 'string') throw new Refusal(field, expected, value)
    return { type: 'function', function: call }
  })
}

export function spokenTurn(turn: Fields, field: string): ChatMessage {
  const { from, value, ...rest } = turn
  if (typeof from !== 'string' || !Object.hasOwn(speakers, from)) {
    throw new Refusal(`${field}.from`, `one of ${Object.keys(speakers).join(', ')}`, from)
  }
  const role = speakers[from]!
  checkContent(turn, role, 'value', field)
  if (from !== 'function_call') return { ...rest, role, content: value as string }
  return { ...rest, role, content: '', tool_calls: functionCalls(value, `${field}.value`) }
}

export function writtenTurn(turn: Fields, field: string): ChatMessage {
  if (typeof turn.role !== 'string') throw new Refusal(`${field}.role`, 'a text', turn.role)
  const role = roleAliases[turn.role] ?? turn.role
  checkContent(turn, role, 'content', field)
  return { ...turn, role } as ChatMessage
}

/** Whether the assistant's turn says anything. */
export function isSpeech(turn: ChatMessage): boolean {
  const { content } = turn as { content: unknown }
  if (typeof content === 'string' ? content.trim() !== '' : Array.isArray(content) && content.length > 0) return true
  return saysOtherwise(turn)
}
