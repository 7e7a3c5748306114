/** What a row of a format must be, under the names that the options give its columns. */
import type { FedloraError } from '../../errors.js'
import type { RowsConfig } from '../dataset-options.js'
import { type Format, formats, type Row } from '../formats/formats.js'
import { cureForMissing } from './columns.js'
import { type RawRow, rowError } from './row-error.js'

/** The row under the names that the format expects. */
export function renamed(row: Row, fields: Readonly<Record<string, string>>): Row {
  const entries = Object.entries(fields)
  if (entries.length === 0) return row
  const result: Record<string, unknown> = { ...row }
  for (const [name, source] of entries) result[name] = row[source]
  return result
}

/** The row's category: the field that `category` names, else the one the format knows. */
export function categoryOf(row: Row, { category, format, fields }: RowsConfig): string | undefined {
  const field = category ?? (formats[format] as Format).category
  const value = field === undefined ? undefined : (category === undefined ? renamed(row, fields) : row)[field]
  return value === undefined || value === null ? undefined : String(value)
}

/** What is wrong with `raw` under `config`, or null; `details.empty` is true where the row is well-formed but holds nothing to learn. */
export function checkRow(raw: RawRow, config: RowsConfig): FedloraError | null {
  if (raw.problem !== null) return rowError(raw, raw.problem)
  const row = raw.row!
  const problem = formats[config.format].check(renamed(row, config.fields))
  if (problem !== null) {
    const [, head, rest] = /^([^.[]*)(.*)$/.exec(problem.field)!
    const missing = problem.found === 'nothing' && rest === ''
    const cure = missing ? { cure: cureForMissing(config.format, row) } : {}
    return rowError(raw, { ...problem, ...cure, field: (config.fields[head!] ?? head!) + rest! })
  }
  const { category } = config
  if (category !== undefined && !['string', 'number', 'boolean'].includes(typeof row[category])) {
    return rowError(raw, {
      field: category,
      expected: 'a category',
      found: row[category] === null ? 'null' : typeof row[category],
    })
  }
  return null
}
