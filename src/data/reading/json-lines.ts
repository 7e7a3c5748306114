/** JSON Lines: one object a line. */
import { constants } from 'node:buffer'
import type { RawRow } from '../rows/row-error.js'
import type { ByteSource } from './bytes.js'
import { badRow, parseRowText, toRaw } from './row-text.js'

const lineEnd = 10
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Why bytes are no text, in words that help. */
export function notText(bytes: Uint8Array): { expected: string; found: string } {
  if (bytes.length > constants.MAX_STRING_LENGTH) {
    return { expected: 'at most 512 MiB', found: `${bytes.length} bytes, more than a JavaScript text can hold` }
  }
  const found = bytes.includes(0) ? 'bytes 0 between them, as UTF-16 has' : 'bytes that are not'
  return { expected: 'UTF-8', found: `${found} (iconv -f WINDOWS-1252 -t UTF-8, or -f UTF-16, converts a file)` }
}

type Place = Pick<RawRow, 'file' | 'unit' | 'number'>

function lineRow(place: Place, bytes: Uint8Array, at: number | undefined): RawRow | null {
  let line: string
  try {
    line = decoder.decode(bytes).trim()
  } catch {
    const { expected, found } = notText(bytes)
    return badRow(place, expected, found)
  }
  if (line === '') return null
  let value: unknown
  try {
    value = parseRowText(line)
  } catch (error) {
    const hint = place.number === 1 && line === '[' ? '; a file that holds one JSON array is named .json' : ''
    return badRow(place, 'a JSON object', `what is not JSON (${(error as Error).message}${hint})`)
  }
  return { ...toRaw(place, value), text: bytes, ...(at !== undefined && { at }) }
}

/** The rows of a file of JSON Lines, piece by piece. Empty lines are left out. @param unit - what a line is called. */
export async function* jsonLines(
  file: string,
  { pieces, at: start }: ByteSource,
  unit: Place['unit'] = 'line',
): AsyncGenerator<RawRow[]> {
  let held: Buffer[] = []
  let heldBytes = 0
  let number = 0
  let position = 0
  const row = (bytes: Buffer) => {
    const at = start === undefined ? undefined : start + position
    position += bytes.length + 1
    return lineRow({ file, unit, number: ++number }, bytes, at)
  }
  for await (const piece of pieces) {
    const rows: RawRow[] = []
    let from = 0
    for (let end = piece.indexOf(lineEnd); end >= 0; end = piece.indexOf(lineEnd, from)) {
      const rest = piece.subarray(from, end)
      const made = row(held.length === 0 ? rest : Buffer.concat([...held, rest], heldBytes + rest.length))
      if (made !== null) rows.push(made)
      held = []
      heldBytes = 0
      from = end + 1
    }
    if (from < piece.length) {
      held.push(Buffer.from(piece.subarray(from)))
      heldBytes += piece.length - from
    }
    yield rows
  }
  if (held.length === 0) return
  const last = row(Buffer.concat(held, heldBytes))
  if (last !== null) yield [last]
}
