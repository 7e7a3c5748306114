/** What became of the rows of a source, and of their columns. */
import type { RowFacts } from './ids/sample.js'
import type { UnreadColumns } from './rows/columns.js'
import type { Tokenizer } from './tokenizer/tokenizer.js'

/** What became of the rows. */
export interface DatasetCounts {
  /** Rows in this data set. */
  readonly rows: number
  /** Rows cut to `maxLength` (with `overlong: 'drop'`: left out for their length). */
  readonly truncated: number
  /** Bad rows left out while reading (`onBadRow: 'skip'`). */
  readonly skipped: number
  /** Rows that hold no supervised token, and so teach nothing. */
  readonly unsupervised: number
  /** Rows left out while reading because they hold nothing to learn: a blank record, a blank completion. */
  readonly empty: number
  /**
   * Columns that the format does not read, and `tools` and `documents` where the chat template makes no use of them; each with the number
   * of rows, of all that were read, in which it holds something.
   */
  readonly ignoredColumns: Readonly<Record<string, number>>
}

/** What the reading of a source left out. */
export interface Origin {
  readonly skipped: number
  readonly empty: number
  /** Rows left out for their length. */
  readonly dropped: number
  readonly unread: UnreadColumns
  /** Whether `maxLength` was asked for. */
  readonly ownLength: boolean
}

/** Columns that are handed to a chat template which makes no use of them. */
function unusedByTemplate(unread: UnreadColumns, tokenizer: Tokenizer | undefined): [string, number][] {
  return Object.entries(unread.template).filter(([name]) => tokenizer?.chatTemplate?.mentions(name) === false)
}

export function columnWarnings(format: string, unread: UnreadColumns, tokenizer: Tokenizer | undefined): string[] {
  const list = (columns: [string, number][]) => columns.map(([name, rows]) => `${name} (${rows} rows)`).join(', ')
  const ignored = Object.entries(unread.ignored)
  const unused = unusedByTemplate(unread, tokenizer)
  return [
    ...(ignored.length > 0 ? [`columns that the format ${format} does not read: ${list(ignored)}`] : []),
    ...(unused.length > 0 ? [`columns that the chat template makes no use of: ${list(unused)}`] : []),
  ]
}

/** @param facts - of a row; undefined where rows cannot be tokenised. */
export function countRows(
  { skipped, empty, dropped, unread }: Origin,
  rows: number,
  facts: ((row: number) => RowFacts) | undefined,
  tokenizer: Tokenizer | undefined,
): DatasetCounts {
  let truncated = dropped
  let unsupervised = 0
  for (let row = 0; facts !== undefined && row < rows; ++row) {
    const known = facts(row)
    if (known.truncated) ++truncated
    if (known.supervised === 0) ++unsupervised
  }
  const ignoredColumns = { ...unread.ignored, ...Object.fromEntries(unusedByTemplate(unread, tokenizer)) }
  return { rows, truncated, skipped, unsupervised, empty, ignoredColumns }
}
