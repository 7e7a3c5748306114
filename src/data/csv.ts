/** CSV after RFC 4180: fields may be quoted, quoted fields may hold commas, line ends and doubled quotes. */

/** One record with the line (from 1) on which it begins; `problem` when it cannot be read. */
export interface CsvRecord {
  line: number
  fields: string[]
  problem: string | null
}

/** The records of `text`. Empty lines are left out; line ends are CRLF, LF or CR. */
export function* parseCsv(text: string): Generator<CsvRecord> {
  let at = 0
  let line = 1
  while (at < text.length) {
    const record: CsvRecord = { line, fields: [], problem: null }
    for (;;) {
      const [field, next, problem] = text[at] === '"' ? quoted(text, at) : bare(text, at)
      record.fields.push(field)
      record.problem ??= problem
      line += countLineEnds(text, at, next)
      at = next
      if (text[at] !== ',') break
      ++at
    }
    if (text[at] === '\r' && text[at + 1] === '\n') ++at
    if (at < text.length) ++line
    ++at
    if (record.fields.length > 1 || record.fields[0] !== '') yield record
  }
}

type Field = [value: string, next: number, problem: string | null]

function endOfField(text: string, from: number): number {
  let at = from
  while (at < text.length && text[at] !== ',' && text[at] !== '\n' && text[at] !== '\r') ++at
  return at
}

function bare(text: string, from: number): Field {
  const end = endOfField(text, from)
  const value = text.slice(from, end)
  return [value, end, value.includes('"') ? 'a quote in a field that does not begin with one' : null]
}

function quoted(text: string, from: number): Field {
  let value = ''
  let at = from + 1
  for (;;) {
    const quote = text.indexOf('"', at)
    if (quote < 0) return [value + text.slice(at), text.length, 'a quoted field without its closing quote']
    value += text.slice(at, quote)
    at = quote + 1
    if (text[at] !== '"') break
    value += '"'
    ++at
  }
  const end = endOfField(text, at)
  return [value, end, end > at ? 'text after the closing quote of a field' : null]
}

function countLineEnds(text: string, from: number, to: number): number {
  let count = 0
  for (let at = from; at < to; ++at) {
    if (text[at] === '\n' || (text[at] === '\r' && text[at + 1] !== '\n')) ++count
  }
  return count
}
