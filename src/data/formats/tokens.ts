/**
 * `tokens`: { input_ids, labels?, attention_mask?, completion_mask?, assistant_masks? }, lists of integers of one length. labels[i] belongs
 * to token i, -100 is not supervised; without labels every token is. A mask of completions or of the assistant takes the supervision from
 * where it is 0; the attention mask is 0 where a row was padded, and those tokens are left out.
 */

import { describeField } from '../../errors/describe.js'
import { notSupervised } from '../ids/labels.js'
import type { Format, Row, RowProblem } from './format.js'

/** Masks that say what is supervised. */
const supervisionMasks = ['completion_mask', 'assistant_masks'] as const
const masks = ['attention_mask', ...supervisionMasks] as const

/** Columns of rows in which several texts were packed: such a row is no text of its own. */
const packedColumns = ['position_ids', 'seq_lengths', 'cu_seqlens'] as const

const isMissing = (value: unknown) => value === undefined || value === null

function asList(value: unknown): ArrayLike<unknown> | null {
  if (Array.isArray(value)) return value
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? (value as unknown as ArrayLike<unknown>) : null
}

function checkIntegers(row: Row, field: string, allowed: (id: number) => boolean, expected: string): RowProblem | null {
  const list = asList(row[field])
  if (list === null) return { field, expected, found: describeField(row[field]) }
  for (let i = 0; i < list.length; ++i) {
    const id = list[i]
    if (typeof id !== 'number' || !Number.isInteger(id) || id > 0x7fffffff || !allowed(id)) {
      return { field: `${field}[${i}]`, expected, found: describeField(id) }
    }
  }
  return null
}

/** A list that may be missing, as long as `input_ids`. */
function checkBeside(row: Row, field: string, allowed: (id: number) => boolean, expected: string): RowProblem | null {
  if (isMissing(row[field])) return null
  const problem = checkIntegers(row, field, allowed, expected)
  if (problem !== null) return problem
  const [length, found] = [asList(row.input_ids)!.length, asList(row[field])!.length]
  if (found === length) return null
  return { field, expected: `as many values as input_ids, ${length}`, found: `an array of ${found}` }
}

/** The positions [begin, end) that were not padded, or null when a token between others is masked. */
function unpadded(row: Row, length: number): readonly [number, number] | null {
  const mask = asList(row.attention_mask) as ArrayLike<number> | null
  if (mask === null) return [0, length]
  let begin = 0
  let end = length
  while (begin < end && mask[begin] === 0) ++begin
  while (end > begin && mask[end - 1] === 0) --end
  for (let i = begin; i < end; ++i) if (mask[i] === 0) return null
  return [begin, end]
}

/** Positions as they count from 0 are what every row has. */
function checkUnpacked(row: Row): RowProblem | null {
  for (const field of packedColumns) {
    if (isMissing(row[field])) continue
    const list = asList(row[field])
    if (field === 'position_ids' && list !== null && Array.prototype.every.call(list, (at, i) => at === i)) continue
    const expected = 'rows of one text each (packed rows are not read: give each text a row, and train with packing)'
    return { field, expected, found: describeField(row[field]) }
  }
  return null
}

export const tokens: Format = {
  fields: ['input_ids', 'labels', ...masks, ...packedColumns],
  needsTokenizer: false,
  check(row) {
    const ids = checkIntegers(row, 'input_ids', (id) => id >= 0, 'a list of token ids (integers from 0)')
    if (ids !== null) return ids
    const length = asList(row.input_ids)!.length
    if (length === 0) return { field: 'input_ids', expected: 'at least one token id', found: 'an array of 0' }
    const expected = 'a list of token ids (integers from 0, or -100)'
    const labels = checkBeside(row, 'labels', (id) => id >= 0 || id === notSupervised, expected)
    if (labels !== null) return labels
    for (const mask of masks) {
      const problem = checkBeside(row, mask, (bit) => bit === 0 || bit === 1, 'a list of 0 and 1')
      if (problem !== null) return problem
    }
    const span = unpadded(row, length)
    if (span === null) {
      const expected = 'zeros at the beginning and the end only, where the row was padded'
      return { field: 'attention_mask', expected, found: 'a zero between ones' }
    }
    if (span[0] === span[1]) return { field: 'attention_mask', expected: 'at least one 1', found: 'zeros only' }
    return checkUnpacked(row)
  },
  segments(row) {
    const all = asList(row.input_ids) as ArrayLike<number>
    const given = (asList(row.labels) as ArrayLike<number> | null) ?? all
    const said = supervisionMasks.map((field) => asList(row[field]) as ArrayLike<number> | null)
    const [begin, end] = unpadded(row, all.length)!
    const ids = Array.prototype.slice.call(all, begin, end)
    const labels = ids.map((_, i) => (said.some((mask) => mask?.[begin + i] === 0) ? notSupervised : given[begin + i]!))
    return [{ ids, labels }]
  },
}
