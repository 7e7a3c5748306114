/** CSV after RFC 4180, of text that arrives in pieces: fields may be quoted, quoted fields may hold delimiters, line ends and doubled quotes. */

/** One record with the line (from 1) on which it begins; `problem` when it cannot be read. */
export interface CsvRecord {
  line: number
  fields: string[]
  problem: string | null
}

/** A record longer than this is taken for one with a lost quote: 256 Mi characters. */
const longestRecord = 2 ** 28

enum In {
  FieldStart,
  Bare,
  Quoted,
  /** After a quote within a quoted field: its end, or the first of two. */
  Quote,
  /** Behind the closing quote, where nothing may stand. */
  Behind,
}

export class CsvParser {
  readonly #delimiter: string
  #in = In.FieldStart
  #field = ''
  #record: CsvRecord
  #length = 0
  #line: number
  /** The last character was a carriage return that ended a line. */
  #afterReturn = false
  /** The last character within quotes was a carriage return: a line feed behind it begins no further line. */
  #quotedReturn = false

  /** @param line - number of the first line that comes. */
  constructor(delimiter: string, line = 1) {
    this.#delimiter = delimiter
    this.#line = line
    this.#record = { line, fields: [], problem: null }
  }

  /** The records that end in `text`. Line ends are CRLF, LF or CR; empty lines are left out. */
  *push(text: string): Generator<CsvRecord> {
    const delimiter = this.#delimiter
    let at = 0
    while (at < text.length) {
      const character = text[at]!
      if (this.#afterReturn) {
        this.#afterReturn = false
        if (character === '\n') {
          ++at
          continue
        }
      }
      if (this.#in === In.Quoted) {
        at = this.#quoted(text, at)
        continue
      }
      if (character === '"' && this.#in === In.FieldStart) this.#in = In.Quoted
      else if (character === '"' && this.#in === In.Quote) {
        this.#field += '"'
        this.#in = In.Quoted
      } else if (character === delimiter) this.#endField()
      else if (character === '\n' || character === '\r') {
        this.#afterReturn = character === '\r'
        ++this.#line
        const ended = this.#endRecord()
        if (ended !== null) yield ended
      } else {
        at = this.#bare(text, at)
        continue
      }
      ++at
    }
  }

  /** The last record, when the text did not end in a line end. */
  *finish(): Generator<CsvRecord> {
    if (this.#in === In.Quoted) this.#record.problem ??= 'a quoted field without its closing quote'
    const ended = this.#endRecord()
    if (ended !== null) yield ended
  }

  /** Reads on in a quoted field; returns where it stopped: behind a quote, or at the end. */
  #quoted(text: string, from: number): number {
    const end = text.indexOf('"', from)
    const part = text.slice(from, end < 0 ? text.length : end)
    this.#add(part)
    for (let i = 0; i < part.length; ++i) {
      const code = part.charCodeAt(i)
      if (code === 13 || (code === 10 && !this.#quotedReturn)) ++this.#line
      this.#quotedReturn = code === 13
    }
    if (end < 0) return text.length
    this.#quotedReturn = false
    this.#in = In.Quote
    return end + 1
  }

  /** Reads on in a field without quotes, or behind a closing quote. */
  #bare(text: string, from: number): number {
    let end = from
    for (; end < text.length; ++end) {
      const character = text[end]!
      if (character === this.#delimiter || character === '\n' || character === '\r') break
    }
    const part = text.slice(from, end)
    if (this.#in === In.Quote || this.#in === In.Behind) {
      this.#record.problem ??= 'text after the closing quote of a field'
      this.#in = In.Behind
      return end
    }
    // Tab-separated text seldom knows quotes: there they are characters like others.
    if (part.includes('"') && this.#delimiter !== '\t') {
      this.#record.problem ??= 'a quote in a field that does not begin with one'
    }
    this.#in = In.Bare
    this.#add(part)
    return end
  }

  #add(part: string): void {
    this.#length += part.length
    if (this.#length > longestRecord) {
      this.#record.problem ??= `a record of more than ${longestRecord} characters: a closing quote is missing`
      this.#field = ''
    } else this.#field += part
  }

  #endField(): void {
    this.#record.fields.push(this.#field)
    this.#field = ''
    this.#in = In.FieldStart
  }

  #endRecord(): CsvRecord | null {
    this.#endField()
    const record = this.#record
    this.#record = { line: this.#line, fields: [], problem: null }
    this.#length = 0
    return record.fields.length > 1 || record.fields[0] !== '' || record.problem !== null ? record : null
  }
}

/** Delimiters in use, the likeliest first. */
export const delimiters = [',', ';', '\t', '|'] as const

/**
 * The delimiter of a file that begins with `text`: the one that gives its header the most fields with which the records that follow agree.
 * @param preferred - taken when others are as good.
 */
export function findDelimiter(text: string, preferred: string): string {
  const score = (delimiter: string) => {
    const records = [...new CsvParser(delimiter).push(text)].slice(0, 100)
    const width = records[0]?.fields.length ?? 1
    if (width === 1) return 0
    const alike = records.filter(({ fields, problem }) => fields.length === width && problem === null).length
    return (alike / records.length) * (1 + width / 1000)
  }
  const candidates = [preferred, ...delimiters.filter((delimiter) => delimiter !== preferred)]
  return candidates
    .map((delimiter) => ({ delimiter, score: score(delimiter) }))
    .reduce((a, b) => (b.score > a.score ? b : a)).delimiter
}
