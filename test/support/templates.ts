/** Renders of chat templates beside those of transformers. */
import { ChatTemplate } from '../../src/data/tokenizer/chat-template.js'
import { FedloraError } from '../../src/errors.js'
import { parseExactly } from '../../src/files/exact-json.js'

/** The special tokens of the tokenizer that transformers rendered with. */
export const specials = { bos_token: '<s>', eos_token: '</s>', unk_token: '[UNK]', pad_token: '<pad>' }

export interface Case {
  messages: { role: string }[]
  add_generation_prompt: boolean
  tools?: object[]
  documents?: object[]
  kwargs?: Record<string, unknown>
}

/** Lines of JSON as Python reads them. */
export function readCases(text: string): Case[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => parseExactly(line) as Case)
}

/** What transformers made of every case: a text, or null where Python refuses; spans in code points. */
export interface Wanted {
  texts: (string | null)[]
  spans?: [number, number][][]
}

export interface Verdict {
  compared: number
  /** Both refuse. */
  refused: number
  /** What is not equal, in words. */
  wrong: string[]
}

/** A coded refusal gives null; anything else that is thrown is a fault of the engine. */
function render(template: ChatTemplate, one: Case): { text: string; spans: [number, number][] } | FedloraError {
  const { messages, tools, documents, kwargs: variables, add_generation_prompt: addGenerationPrompt } = one
  try {
    return template.renderWithSpans(messages, { addGenerationPrompt, tools, documents, variables })
  } catch (error) {
    if (error instanceof FedloraError) return error
    throw error
  }
}

const inPoints = (text: string, at: number) => Array.from(text.slice(0, at)).length

/** `source` on every case, beside what is wanted. */
export function judge(name: string, source: string, cases: readonly Case[], wanted: Wanted): Verdict {
  const template = new ChatTemplate(source, specials)
  const verdict: Verdict = { compared: 0, refused: 0, wrong: [] }
  for (const [i, one] of cases.entries()) {
    const want = wanted.texts[i]!
    const got = render(template, one)
    ++verdict.compared
    if (got instanceof FedloraError) {
      if (want === null) ++verdict.refused
      else verdict.wrong.push(`${name}, case ${i}: refused: ${got.message}; wanted ${JSON.stringify(want)}`)
    } else if (got.text !== want) {
      verdict.wrong.push(`${name}, case ${i}: ${JSON.stringify(got.text)}; wanted ${JSON.stringify(want)}`)
    } else if (wanted.spans !== undefined) {
      const spans = got.spans.map((span) => span.map((at) => inPoints(got.text, at)))
      const [a, b] = [JSON.stringify(spans), JSON.stringify(wanted.spans[i])]
      if (a !== b) verdict.wrong.push(`${name}, case ${i}: spans ${a}; wanted ${b}`)
    }
  }
  return verdict
}
