/**
 * A row as a conversation: OpenAI's turns ({ role, content }), ShareGPT's ({ from, value }), content in parts, tool calls, and the columns
 * beside the turns that the chat template reads. What a turn holds beside role and content goes to the template as it is.
 */

import { describeField } from '../../errors/describe.js'
import { Float, parseExactly } from '../../files/exact-json.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Row, RowProblem } from './format.js'

export interface Conversation {
  readonly turns: readonly ChatMessage[]
  /** Which turns may be supervised: those of the assistant that are not marked `weight: 0` or `train: false`. */
  readonly trained: readonly boolean[]
  /** What the template gets beside the turns: `tools`, `documents` and what `chat_template_kwargs` says. */
  readonly variables: Readonly<Record<string, unknown>>
}

/** Columns of a conversation beside its turns. */
export const besideTurns = ['system', 'tools', 'documents', 'chat_template_kwargs'] as const

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

class Refusal {
  readonly problem: RowProblem
  constructor(field: string, expected: string, value: unknown) {
    this.problem = { field, expected, found: describeField(value) }
  }
}

type Fields = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const isMissing = (value: unknown) => value === undefined || value === null

/** A list that was stored as JSON text, as tables store what they have no column type for. */
function parsedList(value: unknown, field: string, expected: string): readonly unknown[] {
  let list = value
  if (typeof value === 'string') {
    try {
      list = parseExactly(value)
    } catch {
      throw new Refusal(field, expected, value)
    }
  }
  if (!Array.isArray(list)) throw new Refusal(field, expected, value)
  return list
}

function listOfObjects(value: unknown, field: string, expected: string): readonly unknown[] {
  const list = parsedList(value, field, expected)
  for (const [i, one] of list.entries()) if (!isObject(one)) throw new Refusal(`${field}[${i}]`, 'an object', one)
  return list
}

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
function isTrained(turn: Fields, role: string, field: string): boolean {
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

function spokenTurn(turn: Fields, field: string): ChatMessage {
  const { from, value, ...rest } = turn
  if (typeof from !== 'string' || !Object.hasOwn(speakers, from)) {
    throw new Refusal(`${field}.from`, `one of ${Object.keys(speakers).join(', ')}`, from)
  }
  const role = speakers[from]!
  checkContent(turn, role, 'value', field)
  if (from !== 'function_call') return { ...rest, role, content: value as string }
  return { ...rest, role, content: '', tool_calls: functionCalls(value, `${field}.value`) }
}

function writtenTurn(turn: Fields, field: string): ChatMessage {
  if (typeof turn.role !== 'string') throw new Refusal(`${field}.role`, 'a text', turn.role)
  const role = roleAliases[turn.role] ?? turn.role
  checkContent(turn, role, 'content', field)
  return { ...turn, role } as ChatMessage
}

/** The turns of a list, and which of them may be supervised. */
function readTurns(value: unknown, field: string): Pick<Conversation, 'turns' | 'trained'> {
  const expected = field === 'conversations' ? 'a list of { from, value }' : 'a list of { role, content }'
  const list = parsedList(value, field, expected)
  if (list.length === 0) throw new Refusal(field, expected, value)
  const trained: boolean[] = []
  const turns = list.map((turn, i) => {
    const where = `${field}[${i}]`
    if (!isObject(turn)) throw new Refusal(where, expected, turn)
    const read = 'from' in turn && !('role' in turn) ? spokenTurn(turn, where) : writtenTurn(turn, where)
    trained.push(isTrained(turn, read.role, where))
    return read
  })
  return { turns, trained }
}

/** The column `system`, which some files have beside the turns, as the first of them. */
function withSystem(row: Row, turns: readonly ChatMessage[]): readonly ChatMessage[] {
  const { system } = row
  if (isMissing(system) || system === '') return turns
  if (typeof system !== 'string') throw new Refusal('system', 'a text, or nothing', system)
  if (turns[0]?.role === 'system') throw new Refusal('system', 'nothing beside a first turn of the system', system)
  return [{ role: 'system', content: system }, ...turns]
}

function readVariables(row: Row): Record<string, unknown> {
  const { tools, documents, chat_template_kwargs: more } = row
  if (!isMissing(more) && !isObject(more)) throw new Refusal('chat_template_kwargs', 'an object, or nothing', more)
  const variables: Record<string, unknown> = { ...(more as Fields | null) }
  if (!isMissing(tools) && tools !== '') variables.tools = listOfObjects(tools, 'tools', 'a list of tools')
  if (!isMissing(documents)) variables.documents = listOfObjects(documents, 'documents', 'a list of documents')
  return variables
}

/** Whether the assistant's turn says anything. */
function isSpeech(turn: ChatMessage): boolean {
  const { content } = turn as { content: unknown }
  if (typeof content === 'string' ? content.trim() !== '' : Array.isArray(content) && content.length > 0) return true
  return saysOtherwise(turn)
}

function refused<T>(read: () => T): T | RowProblem {
  try {
    return read()
  } catch (error) {
    if (error instanceof Refusal) return error.problem
    throw error
  }
}

function assembled(row: Row, turns: readonly ChatMessage[], trained: readonly boolean[]): Conversation {
  const all = withSystem(row, turns)
  return {
    turns: all,
    trained: all.length > turns.length ? [false, ...trained] : trained,
    variables: readVariables(row),
  }
}

export function isProblem(read: Conversation | RowProblem): read is RowProblem {
  return 'found' in read
}

/** The column that holds the turns. */
function turnsField(row: Row): string {
  return isMissing(row.messages) && row.conversations !== undefined ? 'conversations' : 'messages'
}

/** The conversation of a row { messages } or { conversations }, or what is wrong with it. */
export function readConversation(row: Row): Conversation | RowProblem {
  return refused(() => {
    const field = turnsField(row)
    const { turns, trained } = readTurns(row[field], field)
    return assembled(row, turns, trained)
  })
}

/** Whether a row's prompt and completion are lists of turns. */
export function isChatPair(row: Row): boolean {
  return Array.isArray(row.prompt)
}

/** The conversation of a row { prompt, completion } whose values are lists of turns; only the completion's are trained on. */
export function readChatPair(row: Row, wantsCompletion = true): Conversation | RowProblem {
  return refused(() => {
    const prompt = readTurns(row.prompt, 'prompt')
    const none = { turns: [], trained: [] }
    const completion = wantsCompletion ? readTurns(row.completion, 'completion') : none
    const untrained = prompt.turns.map(() => false)
    return assembled(row, [...prompt.turns, ...completion.turns], [...untrained, ...completion.trained])
  })
}

/** The problem of a conversation in which nothing that could be trained on says anything, or null. */
export function nothingSaid({ turns, trained }: Conversation, field: string): RowProblem | null {
  const some = turns.filter((_, i) => trained[i])
  if (some.length === 0 || some.some(isSpeech)) return null
  return { field, expected: 'a turn of the assistant that says something', found: 'blank ones', empty: true }
}

/** The turns before the assistant's last word, which is what the model is given to answer. */
export function beforeAnswer(turns: readonly ChatMessage[]): readonly ChatMessage[] {
  return turns.at(-1)?.role === 'assistant' ? turns.slice(0, -1) : turns
}
