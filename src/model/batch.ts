/** Rows of token ids as the engine takes them: concatenated without padding. */
import { pack } from '../data/batches.js'
import { concat } from '../data/ids/concat.js'
import { notSupervised } from '../data/ids/labels.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { TokenBatch } from '../native/binding.js'

/** Rows of any lengths. */
export type TokenRows = ArrayLike<ArrayLike<number>>

function checkRows(rows: TokenRows, name: string): void {
  if (typeof rows !== 'object' || rows === null || typeof rows.length !== 'number' || rows.length === 0) {
    throw new FedloraError(
      'E_ARGUMENT',
      `${name}: got ${describeValue(rows)}, expected a list of at least one row of token ids`,
    )
  }
}

function checkedRow(row: ArrayLike<number>, where: string, accepts: (id: number) => boolean): Int32Array {
  return Int32Array.from(row, (value, i) => {
    const id = Number(value)
    if (Number.isInteger(id) && accepts(id)) return id
    throw new FedloraError('E_ARGUMENT', `${where}[${i}] is ${describeValue(value)}, expected a token id of the model`)
  })
}

function checkedIds(rows: TokenRows, vocabulary: number, name: string): Int32Array[] {
  checkRows(rows, name)
  return Array.from(rows, (row, i) => {
    if (typeof row !== 'object' || row === null || !(row.length > 0)) {
      throw new FedloraError(
        'E_ARGUMENT',
        `${name}[${i}]: got ${describeValue(row)}, expected a row of at least one token id`,
      )
    }
    return checkedRow(row, `${name}[${i}]`, (id) => id >= 0 && id < vocabulary)
  })
}

/**
 * Checks rows and concatenates them.
 * @throws FedloraError `E_ARGUMENT` for an empty row or a token outside the vocabulary.
 */
export function flattenIds(rows: TokenRows, vocabulary: number, name = 'inputIds'): Omit<TokenBatch, 'labels'> {
  const checked = checkedIds(rows, vocabulary, name)
  return { ids: concat(checked), lengths: Int32Array.from(checked, ({ length }) => length) }
}

/**
 * Rows with their labels. `labels[i][t]` belongs to token t, as in Hugging Face; -100 means not supervised.
 * @throws FedloraError `E_ARGUMENT`; `E_SHAPE` when labels and ids differ in length.
 */
export function flattenBatch(inputIds: TokenRows, labels: TokenRows, vocabulary: number): TokenBatch {
  const ids = checkedIds(inputIds, vocabulary, 'inputIds')
  checkRows(labels, 'labels')
  if (labels.length !== ids.length) {
    throw new FedloraError('E_SHAPE', `labels has ${labels.length} rows, expected ${ids.length} as inputIds has`)
  }
  const rows = ids.map((row, i) => {
    const own = labels[i]!
    if (own.length !== row.length) {
      throw new FedloraError(
        'E_SHAPE',
        `labels[${i}] has ${own.length} entries, expected ${row.length} as inputIds[${i}] has`,
      )
    }
    const accepts = (id: number) => id === notSupervised || (id >= 0 && id < vocabulary)
    return { inputIds: row, labels: checkedRow(own, `labels[${i}]`, accepts) }
  })
  return pack(rows)
}
