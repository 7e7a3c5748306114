/** A row's JSON as a value: the one place where text of a row becomes a row. */
import { describeField } from '../../errors/describe.js'
import type { Row } from '../formats/formats.js'
import type { RawRow } from '../rows/row-error.js'
import { parseJsonRow } from './json-rows.js'

/** @throws SyntaxError when it is not JSON. */
export function parseRowText(text: string): unknown {
  return parseJsonRow(text)
}

export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
}

/** A row that cannot be read, and why. */
export function badRow(place: Pick<RawRow, 'file' | 'unit' | 'number'>, expected: string, found: string): RawRow {
  return { ...place, row: null, problem: { field: '', expected, found } }
}

/** `value` as a row, or as one that is none. */
export function toRaw(place: Pick<RawRow, 'file' | 'unit' | 'number'>, value: unknown): RawRow {
  return isRow(value) ? { ...place, row: value, problem: null } : badRow(place, 'an object', describeField(value))
}
