/** A row as Python's json.loads would read it, so that a chat template prints its numbers as they were written. */

import { parseExactly } from '../../files/exact-json.js'

export { Float } from '../../files/exact-json.js'

/**
 * Parses a row, or a list of rows. Within the objects of a row (turns, tools, documents, …), which a template may print, integers beyond
 * 2^53 are bigints and whole floats such as 1.0 are {@link Float}s; the row's own numbers, and lists of them, are numbers.
 *
 * @throws SyntaxError when it is not JSON
 */
export function parseJsonRow(text: string): unknown {
  return parseExactly(text, 2)
}
