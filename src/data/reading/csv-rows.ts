/** CSV and TSV files with a header: rows of texts under the names of the columns. */
import { FedloraError } from '../../errors.js'
import type { Row } from '../formats/formats.js'
import type { RawRow } from '../rows/row-error.js'
import type { ByteSource } from './bytes.js'
import { CsvParser, type CsvRecord, findDelimiter } from './csv.js'
import { badRow } from './row-text.js'

/** Text that is looked at to find the delimiter: 64 Ki characters. */
const sampleLength = 2 ** 16

/** The line with which Excel says what the delimiter is. */
const separatorLine = /^sep=(.)\r?(\n|$)/i

/** The names of the columns; one that is a wanted name but for case and spaces is taken for it. */
export function columnNames(header: readonly string[], wanted: readonly string[]): string[] {
  const names = header.map((name) => name.trim())
  const plain = (name: string) => name.toLowerCase().replace(/[\s_-]+/g, '_')
  const meant = (name: string) => wanted.find((other) => plain(other) === plain(name))
  return names.map((name) => {
    const other = meant(name)
    if (other === undefined || names.includes(other)) return name
    return names.filter((one) => meant(one) === other).length === 1 ? other : name
  })
}

function checkHeader(file: string, { line, problem }: CsvRecord, names: readonly string[]): void {
  const doubled = names.find((name, i) => names.indexOf(name) !== i)
  if (problem === null && doubled === undefined) return
  const found = problem ?? `the name ${JSON.stringify(doubled)} twice`
  const expected = 'a header of distinct names'
  throw new FedloraError('E_DATA', `${file}, line ${line}: expected ${expected}, found ${found}`, {
    file,
    line,
    expected,
    found,
  })
}

/** Rows of records; the first is the header. */
class Table {
  readonly #file: string
  readonly #wanted: readonly string[]
  #names: string[] | undefined
  /** Records without a value in any field: spreadsheets leave them behind the last row. */
  blank = 0

  constructor(file: string, wanted: readonly string[]) {
    this.#file = file
    this.#wanted = wanted
  }

  row(record: CsvRecord): RawRow | null {
    const { line, fields, problem } = record
    if (this.#names === undefined) {
      // A column without a name and without values is what a delimiter at the end of every line makes.
      const names = columnNames(fields, this.#wanted)
      if (names.length > 1 && names.at(-1) === '') names.pop()
      checkHeader(this.#file, record, names)
      this.#names = names
      return null
    }
    const place = { file: this.#file, unit: 'line', number: line } as const
    if (problem !== null) return badRow(place, 'a record after RFC 4180', problem)
    if (fields.every((field) => field.trim() === '')) {
      this.blank++
      return null
    }
    const names = this.#names
    if (fields.length === names.length + 1 && fields.at(-1) === '') fields.pop()
    if (fields.length !== names.length)
      return badRow(place, `${names.length} fields as in the header`, `${fields.length}`)
    const row: Row = Object.fromEntries(names.map((name, i) => [name, fields[i]]))
    return { ...place, row, problem: null, text: Buffer.from(JSON.stringify(row)) }
  }
}

async function* texts(file: string, pieces: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  try {
    for await (const piece of pieces) yield decoder.decode(piece, { stream: true })
    yield decoder.decode()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_ENCODING_INVALID_ENCODED_DATA') throw error
    const cure = `convert it: iconv -f WINDOWS-1252 -t UTF-8 ${file}`
    throw new FedloraError('E_DATA', `${file}: is not UTF-8; ${cure} (Excel saves "CSV UTF-8")`, { file }, error)
  }
}

/**
 * The rows of a CSV or TSV file, piece by piece.
 * @param wanted - names of columns that are meant whatever their case.
 * @param preferred - the delimiter, unless the file begins with `sep=` or its header speaks for another.
 */
export async function* csvRows(
  file: string,
  { pieces }: ByteSource,
  wanted: readonly string[],
  preferred: ',' | '\t',
  onBlank: (count: number) => void,
): AsyncGenerator<RawRow[]> {
  const table = new Table(file, wanted)
  let parser: CsvParser | undefined
  let head = ''
  const parse = (records: Iterable<CsvRecord>) => {
    const rows: RawRow[] = []
    for (const record of records) {
      const row = table.row(record)
      if (row !== null) rows.push(row)
    }
    return rows
  }
  const begin = () => {
    const said = separatorLine.exec(head)
    parser = said === null ? new CsvParser(findDelimiter(head, preferred)) : new CsvParser(said[1]!, 2)
    return parse(parser.push(head.slice(said?.[0].length ?? 0)))
  }
  for await (const text of texts(file, pieces)) {
    if (parser !== undefined) yield parse(parser.push(text))
    else {
      head += text
      if (head.length >= sampleLength) yield begin()
    }
  }
  if (parser === undefined) yield begin()
  yield parse(parser!.finish())
  onBlank(table.blank)
}
