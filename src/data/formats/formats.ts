/** The formats of rows, by name. */

import { alpaca } from './alpaca.js'
import { codeAlpaca } from './code-alpaca.js'
import { dolly } from './dolly.js'
import type { Format } from './format.js'
import { gsm8k } from './gsm8k.js'
import { messages } from './messages.js'
import { promptCompletion } from './prompt-completion.js'
import { plainText } from './text.js'
import { tokens } from './tokens.js'

export type { Format, FormatOptions, Row, RowProblem, Segment, Span } from './format.js'

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
