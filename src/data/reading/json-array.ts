/** A JSON array of objects, read value by value: the file may be larger than a JavaScript text. JSON Lines under the name .json are read, too. */

import { describeField } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import type { RawRow } from '../rows/row-error.js'
import type { ByteSource } from './bytes.js'
import { notText } from './json-lines.js'
import { JsonStructureError, JsonValues } from './json-values.js'
import { isRow, parseRowText, toRaw } from './row-text.js'

const decoder = new TextDecoder('utf-8', { fatal: true })
const expected = 'a JSON array of objects'

/** An object by itself that is larger than this is not held to see whether others follow: 64 MiB. */
const loneBytes = 2 ** 26

function refuse(file: string, found: string, cure: string, cause?: unknown): never {
  throw new FedloraError(
    'E_DATA',
    `${file}: expected ${expected}, found ${found}; ${cure}`,
    { file, expected, found },
    cause,
  )
}

const hint = 'a file with one object a line is named .jsonl'

function parse(file: string, number: number, bytes: Buffer): unknown {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch (error) {
    const { expected, found } = notText(bytes)
    throw new FedloraError(
      'E_DATA',
      `${file}, row ${number}: expected ${expected}, found ${found}`,
      { file, row: number, expected, found },
      error,
    )
  }
  try {
    return parseRowText(text)
  } catch (error) {
    return refuse(file, `what is not JSON in row ${number}: ${(error as Error).message}`, hint, error)
  }
}

/** Refuses one object where an array was expected, and says where its rows seem to be. */
function refuseObject(file: string, bytes: Buffer): never {
  let value: unknown
  try {
    value = parseRowText(decoder.decode(bytes))
  } catch {
    // Too large to be held, or no JSON: its beginning says what it is.
    const name = /^\s*\{\s*"((?:[^"\\]|\\.)*)"\s*:\s*\[/.exec(bytes.subarray(0, 4096).toString('latin1'))?.[1]
    value = name === undefined ? {} : { [name]: [{}] }
  }
  if (!isRow(value)) return refuse(file, describeField(value), hint)
  const lists = Object.entries(value).flatMap(([name, list]) => (Array.isArray(list) && list.some(isRow) ? [name] : []))
  if (lists.length === 0)
    return refuse(file, 'an object', `put it into an array, or name the file .jsonl, one object a line`)
  const names = lists.map((name) => JSON.stringify(name)).join(', ')
  return refuse(
    file,
    `an object whose ${names} ${lists.length === 1 ? 'is an array' : 'are arrays'} of objects`,
    `write the rows out: jq -c '.[${JSON.stringify(lists[0])}][]' ${file} > rows.jsonl`,
  )
}

/** The rows of a .json file, piece by piece. */
export async function* jsonArray(file: string, { pieces }: ByteSource): AsyncGenerator<RawRow[]> {
  const values = new JsonValues()
  let number = 0
  /** The first value of a file that is no array, until a second follows. */
  let first: Buffer | undefined
  const row = (bytes: Buffer): RawRow => {
    const value = parse(file, ++number, bytes)
    return { ...toRaw({ file, unit: 'row', number }, value), text: bytes }
  }
  const rowsOf = (bytes: Buffer): RawRow[] => {
    if (values.inArray || number > 0) return [row(bytes)]
    if (first !== undefined) return [row(first), row(bytes)]
    first = Buffer.from(bytes)
    return []
  }
  try {
    for await (const piece of pieces) {
      const rows: RawRow[] = []
      for (const bytes of values.push(piece)) rows.push(...rowsOf(bytes))
      if (!values.inArray && number === 0 && values.pending > loneBytes) refuseObject(file, values.pendingBytes(4096))
      yield rows
    }
    const last = values.finish()
    if (last !== undefined) yield rowsOf(last)
  } catch (error) {
    if (!(error instanceof JsonStructureError)) throw error
    refuse(file, `what is not JSON after ${number} rows: ${error.message}`, hint, error)
  }
  if (number === 0 && first !== undefined) refuseObject(file, first)
}
