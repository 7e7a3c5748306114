/** What went wrong with one row, and where it stands. */

import { FedloraError } from '../../errors.js'
import type { Row, RowProblem } from '../formats/formats.js'

/** A row, or the reason why there is none, with its place in the source. */
export interface RawRow {
  /** The file, or '(in memory)'. */
  file: string
  /** 'line' for files of lines, 'row' (from 1) otherwise. */
  unit: 'line' | 'row'
  number: number
  row: Row | null
  problem: RowProblem | null
  /** The row's bytes, where they were read from a file; they are good until the next rows are asked for. */
  text?: Uint8Array
  /** Where `text` begins in the file, when it can be read again there. */
  at?: number
}

/** The E_DATA error for `raw`. */
export function rowError(raw: RawRow, problem: RowProblem): FedloraError {
  const where = `${raw.file}, ${raw.unit} ${raw.number}`
  const field = problem.field === '' ? '' : `, field ${problem.field}`
  const { cure = "mend the row, or pass onBadRow: 'skip'", ...rest } = problem
  const message = `${where}${field}: expected ${problem.expected}, found ${problem.found}; ${cure}`
  return new FedloraError('E_DATA', message, { file: raw.file, [raw.unit]: raw.number, ...rest })
}
