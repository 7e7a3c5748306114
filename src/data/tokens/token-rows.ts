/** The rows of a data set under one tokenizer: the tables that were prepared, and a few rows that were asked for before. */
import { factsOf, type RowFacts, type Sample } from '../ids/sample.js'
import type { TokenTable } from './token-table.js'

/** Ids of rows kept that no table holds: 4 Mi, 32 MiB with their labels. */
const keptTokens = 2 ** 22

export class TokenRows {
  readonly #tables: { from: number; table: TokenTable }[] = []
  /** Position of each row in the tables laid end to end, plus 1; 0: in none. */
  readonly #where: Int32Array
  #placed = 0
  readonly #kept = new Map<number, Sample>()
  #keptTokens = 0

  constructor(rows: number) {
    this.#where = new Int32Array(rows)
  }

  /** Whether a table holds the row. */
  has(row: number): boolean {
    return this.#where[row] !== 0
  }

  /** Adds the table of `rows`: its row k is `rows[k]`. */
  add(table: TokenTable, rows: Int32Array): void {
    this.#tables.push({ from: this.#placed, table })
    for (let k = 0; k < rows.length; ++k) this.#where[rows[k]!] = this.#placed + k + 1
    this.#placed += rows.length
    if (this.#kept.size > 0) for (const row of rows) this.#kept.delete(row)
  }

  #find(row: number): { table: TokenTable; at: number } | undefined {
    const position = this.#where[row]! - 1
    if (position < 0) return undefined
    let low = 0
    let high = this.#tables.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#tables[middle]!.from <= position) low = middle
      else high = middle - 1
    }
    const { from, table } = this.#tables[low]!
    return { table, at: position - from }
  }

  /** The row, tokenised by `make` when no table holds it. */
  sample(row: number, make: () => Sample): Sample {
    const found = this.#find(row)
    if (found === undefined) return this.#keep(row, make)
    return found.table.sample(found.at)
  }

  /** What is known of the row, tokenised by `make` when no table holds it. */
  facts(row: number, make: () => Sample): RowFacts {
    const found = this.#find(row)
    if (found === undefined) return factsOf(this.#keep(row, make))
    return found.table.facts(found.at)
  }

  #keep(row: number, make: () => Sample): Sample {
    const known = this.#kept.get(row)
    if (known !== undefined) return known
    const made = make()
    if (this.#keptTokens > keptTokens) {
      this.#kept.clear()
      this.#keptTokens = 0
    }
    this.#kept.set(row, made)
    this.#keptTokens += made.inputIds.length
    return made
  }
}
