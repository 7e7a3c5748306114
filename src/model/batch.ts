/** Rows of token ids as the engine takes them: concatenated without padding. */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { TokenBatch } from '../native/binding.js'

/** Rows of any lengths. */
export type TokenRows = ArrayLike<ArrayLike<number>>

/** The label of a token that is not supervised. */
export const ignoredLabel = -100

function checkRows(rows: TokenRows, name: string): void {
  if (typeof rows !== 'object' || rows === null || typeof rows.length !== 'number' || rows.length === 0) {
    throw new FedloraError(
      'E_ARGUMENT',
      `${name}: got ${describeValue(rows)}, expected a list of at least one row of token ids`,
    )
  }
}

function copyRow(
  row: ArrayLike<number>,
  into: Int32Array,
  offset: number,
  where: string,
  accepts: (id: number) => boolean,
): void {
  for (let i = 0; i < row.length; i++) {
    const id = Number(row[i])
    if (!accepts(id))
      throw new FedloraError(
        'E_ARGUMENT',
        `${where}[${i}] is ${describeValue(row[i])}, expected a token id of the model`,
      )
    into[offset + i] = id
  }
}

/**
 * Checks rows and concatenates them.
 * @throws FedloraError `E_ARGUMENT` for an empty row or a token outside the vocabulary.
 */
export function flattenIds(
  rows: TokenRows,
  vocabulary: number,
  name = 'inputIds',
): { ids: Int32Array; lengths: Int32Array } {
  checkRows(rows, name)
  const lengths = Int32Array.from(rows, (row, i) => {
    if (typeof row !== 'object' || row === null || !(row.length > 0)) {
      throw new FedloraError(
        'E_ARGUMENT',
        `${name}[${i}]: got ${describeValue(row)}, expected a row of at least one token id`,
      )
    }
    return row.length
  })
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0))
  let offset = 0
  for (let i = 0; i < rows.length; i++) {
    copyRow(rows[i]!, ids, offset, `${name}[${i}]`, (id) => Number.isInteger(id) && id >= 0 && id < vocabulary)
    offset += lengths[i]!
  }
  return { ids, lengths }
}

/**
 * Rows with their labels. `labels[i][t]` belongs to token t, as in Hugging Face; -100 means not supervised.
 * @throws FedloraError `E_ARGUMENT`; `E_SHAPE` when labels and ids differ in length.
 */
export function flattenBatch(inputIds: TokenRows, labels: TokenRows, vocabulary: number): TokenBatch {
  const { ids, lengths } = flattenIds(inputIds, vocabulary)
  checkRows(labels, 'labels')
  if (labels.length !== lengths.length) {
    throw new FedloraError('E_SHAPE', `labels has ${labels.length} rows, expected ${lengths.length} as inputIds has`)
  }
  const flat = new Int32Array(ids.length)
  let offset = 0
  for (let i = 0; i < lengths.length; i++) {
    const row = labels[i]!
    if (row.length !== lengths[i]) {
      throw new FedloraError(
        'E_SHAPE',
        `labels[${i}] has ${row.length} entries, expected ${lengths[i]} as inputIds[${i}] has`,
      )
    }
    const accepts = (id: number) => Number.isInteger(id) && (id === ignoredLabel || (id >= 0 && id < vocabulary))
    copyRow(row, flat, offset, `labels[${i}]`, accepts)
    offset += lengths[i]!
  }
  return { ids, labels: flat, lengths }
}
