/** A .txt file: one text, one row. */
import { FedloraError } from '../../errors.js'
import type { RawRow } from '../rows/row-error.js'
import type { ByteSource } from './bytes.js'
import { notText } from './json-lines.js'

export async function* textFile(file: string, { pieces }: ByteSource): AsyncGenerator<RawRow[]> {
  const held: Buffer[] = []
  for await (const piece of pieces) held.push(Buffer.from(piece))
  const bytes = Buffer.concat(held)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    const { expected, found } = notText(bytes)
    throw new FedloraError('E_DATA', `${file}: expected ${expected}, found ${found}`, { file, expected, found }, error)
  }
  const row = { text }
  yield [{ file, unit: 'row', number: 1, row, problem: null, text: Buffer.from(JSON.stringify(row)) }]
}
