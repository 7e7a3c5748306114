/** The formats of rows, by name, and a row's segments as ids and labels. */

import { FedloraError } from '../errors.js'
import { alpaca } from './formats/alpaca.js'
import { codeAlpaca } from './formats/code-alpaca.js'
import { dolly } from './formats/dolly.js'
import type { Format, Segment } from './formats/format.js'
import { gsm8k } from './formats/gsm8k.js'
import { messages } from './formats/messages.js'
import { promptCompletion } from './formats/prompt-completion.js'
import { plainText } from './formats/text.js'
import { tokens } from './formats/tokens.js'
import type { Tokenizer } from './tokenizer.js'

export type { Format, FormatOptions, Row, RowProblem, Segment, Span } from './formats/format.js'

export const formats = {
  alpaca,
  dolly,
  gsm8k,
  'code-alpaca': codeAlpaca,
  messages,
  'prompt-completion': promptCompletion,
  text: plainText,
  tokens,
} as const satisfies Record<string, Format>

export type FormatName = keyof typeof formats
export const formatNames = Object.keys(formats) as [FormatName, ...FormatName[]]

/** The label of a token that is not supervised. */
export const notSupervised = -100

/** A row as the model sees it. */
export interface Sample {
  readonly inputIds: Int32Array
  /** labels[i] belongs to inputIds[i]; -100 is not supervised. The shift by one is the trainer's. */
  readonly labels: Int32Array
}

/**
 * The ids of a text that is to be continued: those that the tokenizer gives it, without what it puts behind a text that ends.
 * Training and generation both begin with these.
 */
export function promptIds(tokenizer: Tokenizer, text: string, specialTokens: boolean): number[] {
  const ids = tokenizer.encode(text, { addSpecialTokens: specialTokens })
  return specialTokens ? ids.slice(0, ids.length - tokenizer.specialSuffix.length) : ids
}

/** @throws E_TOKENIZER when an end token is wanted and the tokenizer has none */
export function encodeSegments(segments: readonly Segment[], tokenizer: Tokenizer): Sample {
  const ids: number[] = []
  const labels: number[] = []
  const add = (some: ArrayLike<number>, supervised: boolean) => {
    for (let i = 0; i < some.length; ++i) {
      ids.push(some[i]!)
      labels.push(supervised ? some[i]! : notSupervised)
    }
  }
  for (const segment of segments) {
    if ('text' in segment) {
      let done = 0
      if (segment.specialTokens) add(tokenizer.specialPrefix, false)
      for (const [begin, end] of [...segment.supervised, [segment.text.length, segment.text.length] as const]) {
        add(tokenizer.encode(segment.text.slice(done, begin), { addSpecialTokens: false }), false)
        add(tokenizer.encode(segment.text.slice(begin, end), { addSpecialTokens: false }), true)
        done = end
      }
    } else if ('continuation' in segment) {
      add(tokenizer.encode(segment.continuation, { addSpecialTokens: false }), true)
    } else if ('ids' in segment) {
      for (let i = 0; i < segment.ids.length; ++i) {
        ids.push(segment.ids[i]!)
        labels.push(segment.labels[i]!)
      }
    } else if (!tokenizer.endTokens.includes(ids.at(-1)!)) {
      add([endToken(tokenizer)], true)
    }
  }
  return { inputIds: Int32Array.from(ids), labels: Int32Array.from(labels) }
}

function endToken(tokenizer: Tokenizer): number {
  if (tokenizer.eosToken !== undefined) return tokenizer.eosToken
  throw new FedloraError(
    'E_TOKENIZER',
    `${tokenizer.folder}: names no end token; set eos_token in tokenizer_config.json or eos_token_id in generation_config.json`,
    { folder: tokenizer.folder },
  )
}
