/** `code-alpaca`: { instruction, input?, output } in the template of `alpaca`; the rosetta subset's `input` is the programming language. */

import { alpaca } from './alpaca.js'
import type { Format } from './format.js'

export const codeAlpaca: Format = { ...alpaca, category: 'input' }
