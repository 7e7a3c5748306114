/** A row as Python's json.loads would read it, so that a chat template prints its numbers as they were written. */

import { parseExactly } from '../files/exact-json.js'

export { Float } from '../files/exact-json.js'

/**
 * Parses a row. Integers beyond 2^53 are bigints, whole floats such as 1.0 are {@link Float}s (a number by valueOf and toJSON).
 *
 * @throws SyntaxError when it is not JSON
 */
export function parseJsonRow(text: string): unknown {
  return parseExactly(text)
}
