/** `tokens`: { input_ids, labels? }, both lists of integers of one length; labels[i] belongs to token i, -100 is not supervised. */

import { describe, type Format, type Row, type RowProblem } from './format.js'

const notSupervised = -100

function asList(value: unknown): ArrayLike<unknown> | null {
  if (Array.isArray(value)) return value
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? (value as unknown as ArrayLike<unknown>) : null
}

function checkIds(row: Row, field: string, allowed: (id: number) => boolean, expected: string): RowProblem | null {
  const list = asList(row[field])
  if (list === null) return { field, expected, found: describe(row[field]) }
  for (let i = 0; i < list.length; ++i) {
    const id = list[i]
    if (typeof id !== 'number' || !Number.isInteger(id) || id > 0x7fffffff || !allowed(id)) {
      return { field: `${field}[${i}]`, expected, found: describe(id) }
    }
  }
  return null
}

export const tokens: Format = {
  fields: ['input_ids', 'labels'],
  needsTokenizer: false,
  check(row) {
    const ids = checkIds(row, 'input_ids', (id) => id >= 0, 'a list of token ids (integers from 0)')
    if (ids !== null) return ids
    const length = asList(row.input_ids)!.length
    if (length === 0) return { field: 'input_ids', expected: 'at least one token id', found: 'an array of 0' }
    if (row.labels === undefined || row.labels === null) return null
    const expected = 'a list of token ids (integers from 0, or -100)'
    const labels = checkIds(row, 'labels', (id) => id >= 0 || id === notSupervised, expected)
    if (labels !== null) return labels
    const found = asList(row.labels)!.length
    return found === length
      ? null
      : { field: 'labels', expected: `as many labels as input_ids, ${length}`, found: `an array of ${found}` }
  },
  segments(row) {
    const ids = asList(row.input_ids) as ArrayLike<number>
    return [{ ids, labels: (asList(row.labels) as ArrayLike<number> | null) ?? ids }]
  },
}
