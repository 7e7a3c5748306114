/**
 * A row as a conversation: OpenAI's turns ({ role, content }), ShareGPT's ({ from, value }), content in parts, tool calls, and the columns
 * beside the turns that the chat template reads. What a turn holds beside role and content goes to the template as it is.
 */

import { parseExactly } from '../../files/exact-json.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Row, RowProblem } from './format.js'
import { type Fields, isMissing, isObject, isSpeech, isTrained, Refusal, spokenTurn, writtenTurn } from './turn.js'

export interface Conversation {
  readonly turns: readonly ChatMessage[]
  /** Which turns may be supervised: those of the assistant that are not marked `weight: 0` or `train: false`. */
  readonly trained: readonly boolean[]
  /** What the template gets beside the turns: `tools`, `documents` and what `chat_template_kwargs` says. */
  readonly variables: Readonly<Record<string, unknown>>
}

/** Columns of a conversation beside its turns. */
export const besideTurns = ['system', 'tools', 'documents', 'chat_template_kwargs'] as const

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
