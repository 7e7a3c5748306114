/** The columns of rows: those that nothing reads are counted, and a row without those that are needed is told what would read it. */

import type { DatasetConfig } from '../dataset-options.js'
import { type FormatName, formats, type Row } from '../formats/formats.js'

type Config = Pick<DatasetConfig, 'format' | 'fields' | 'category'>

/** Columns that the format hands to the chat template, which may not know them. */
const templateColumns = ['tools', 'documents']

const isBlank = (value: unknown) =>
  value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)

/** Counts, by column, the rows that hold something in a column which the format, or the chat template, may not read. */
export class UnreadColumns {
  readonly #read: ReadonlySet<string>
  readonly #given: ReadonlyMap<string, string>
  readonly #ignored = new Map<string, number>()
  readonly #template = new Map<string, number>()

  constructor({ format, fields, category }: Config) {
    const known: readonly string[] = formats[format].fields
    const names = known.map((name) => fields[name] ?? name)
    this.#read = new Set(category === undefined ? names : [...names, category])
    this.#given = new Map(
      templateColumns.filter((name) => known.includes(name)).map((name) => [fields[name] ?? name, name]),
    )
  }

  add(row: Row): void {
    for (const column in row) {
      const given = this.#given.get(column)
      if (given === undefined && this.#read.has(column)) continue
      if (isBlank(row[column])) continue
      const counts = given === undefined ? this.#ignored : this.#template
      counts.set(given ?? column, (counts.get(given ?? column) ?? 0) + 1)
    }
  }

  /** Columns that the format does not read. */
  get ignored(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#ignored)
  }

  /** Columns that the chat template gets, by the names under which it gets them. */
  get template(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#template)
  }
}

/** Names under which data sets keep what a format calls by another name, the likeliest first. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  instruction: ['instruction', 'question', 'query', 'prompt', 'input', 'task', 'problem', 'user'],
  output: ['output', 'response', 'answer', 'completion', 'target', 'solution', 'assistant'],
  prompt: ['prompt', 'instruction', 'question', 'query', 'input', 'problem', 'user'],
  text: ['text', 'content', 'document', 'body', 'article', 'sentence'],
  messages: ['messages', 'conversations', 'conversation', 'dialog', 'dialogue', 'chat', 'turns'],
}
const meanings: Readonly<Record<string, string>> = {
  question: 'instruction',
  response: 'output',
  answer: 'output',
  completion: 'output',
}

/** The `fields` under which the format would read the row, or null. */
function mapping(format: FormatName, row: Row): Record<string, string> | null {
  const fields: Record<string, string> = {}
  const taken = new Set<string>()
  let renamed: Row = row
  for (let problem = formats[format].check(row); problem !== null; problem = formats[format].check(renamed)) {
    const name = problem.field
    if (problem.found !== 'nothing' || name in fields) return null
    const known = synonyms[meanings[name] ?? name] ?? []
    const source = known.find((column) => !taken.has(column) && column in row && column !== name)
    if (source === undefined) return null
    taken.add(source)
    fields[name] = source
    renamed = { ...renamed, [name]: row[source] }
  }
  return fields
}

/** What would read a row in which the format misses a column: another format, or `fields`; and the columns that the row has. */
export function cureForMissing(format: FormatName, row: Row): string {
  const columns = Object.keys(row)
  const found = columns.length === 0 ? 'the row has no columns' : `the row has ${columns.join(', ')}`
  const fitting = (Object.keys(formats) as FormatName[]).filter(
    (name) => name !== format && name !== 'code-alpaca' && formats[name].check(row) === null,
  )
  const cures = fitting.map((name) => `format: '${name}'`)
  const fields = mapping(format, row)
  if (fields !== null) {
    const entries = Object.entries(fields).map(([name, source]) => `${name}: '${source}'`)
    cures.push(`fields: { ${entries.join(', ')} }`)
  }
  const needed = `the format ${format} reads ${formats[format].fields.join(', ')}`
  return `${found}: ${cures.length > 0 ? `read it with ${cures.join(', or with ')}` : `${needed}; name the columns with fields`}`
}
