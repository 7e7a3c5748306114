/** Every kind of file that rows are read from: delimiters, headers, encodings, packed files, folders, patterns, lists, large JSON. */
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { Dataset } from '../../src/data/dataset.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { readError } from '../../src/data/reading/bytes.js'
import { CsvParser, findDelimiter } from '../../src/data/reading/csv.js'
import { columnNames } from '../../src/data/reading/csv-rows.js'
import { jsonArray } from '../../src/data/reading/json-array.js'
import { notText } from '../../src/data/reading/json-lines.js'
import { JsonValues } from '../../src/data/reading/json-values.js'
import { patternExpression } from '../../src/data/reading/source-files.js'
import { Random } from '../../src/random/random.js'

/** What zstd 1.5 -19 makes of two lines, {"text":"a"} and {"text":"b"}. */
const zstdFrame = 'KLUv/QRovQAAiHsidGV4dCI6ImEifQpiIn0KAQBQzC+CdVUP'

const folder = await mkdtemp(join(tmpdir(), 'fedlora-reading-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await mkdir(join(path, '..'), { recursive: true })
  await writeFile(path, content)
  return path
}

const rowsOf = (data: Dataset) => Array.from({ length: data.length }, (_, i) => data.row(i))
const texts = (data: Dataset) => rowsOf(data).map(({ text }) => text as string)

t.test('CSV of every kind that spreadsheets write', async (t) => {
  const expected = [
    { instruction: 'add 1, 2; 3', input: '', output: 'six\nor 6' },
    { instruction: 'say "hi"', input: 'x', output: 'hi' },
  ]
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`
  const table = (delimiter: string, header = ['instruction', 'input', 'output'], end = '\n') =>
    [header.join(delimiter), ...expected.map((row) => Object.values(row).map(cell).join(delimiter))]
      .map((line) => line + end)
      .join('')
  const kinds: Record<string, string | Uint8Array> = {
    'comma.csv': table(','),
    'semicolon.csv': table(';'),
    'bom.csv': `\ufeff${table(';')}`,
    'crlf.csv': table(';', undefined, '\r\n'),
    'cr.csv': table(',', undefined, '\r'),
    'sep.csv': `sep=;\r\n${table(';')}`,
    'sep-bar.csv': `\ufeffSEP=|\n${table('|')}`,
    'bar.csv': table('|'),
    'tab.csv': table('\t'),
    'tab.tsv': table('\t'),
    'comma.tsv': table(','),
    'case.csv': table(';', ['Instruction', 'INPUT', 'Output']),
    'spaces.csv': table(', '.trim(), [' instruction ', 'input ', ' output']),
    'quoted-header.csv': table(';', ['"Instruction"', '"Input"', '"Output"']),
    'blank.csv': `${table(';')};;\n\n ; ;\n`,
    'open-end.csv': table(';').trimEnd(),
    'trailing.csv': table(';')
      .split('\n')
      .map((line, i, all) => (i === all.length - 1 ? line : line.endsWith('"') || i === 0 ? `${line};` : line))
      .join('\n'),
    'utf16le.csv': Buffer.from(`\ufeff${table(';')}`, 'utf16le'),
    'utf16be.csv': Buffer.from(`\ufeff${table('\t')}`, 'utf16le').swap16(),
    'packed.csv.gz': gzipSync(table(';')),
    'packed-bom.csv.gz': gzipSync(`\ufeff${table(';')}`),
    'packed-wide.tsv.gz': gzipSync(Buffer.from(`\ufeff${table('\t')}`, 'utf16le')),
  }
  for (const [name, content] of Object.entries(kinds)) {
    const data = await loadDataset(await file(name, content), { format: 'alpaca' })
    t.same(rowsOf(data), expected, name)
    t.equal(data.counts.empty, name === 'blank.csv' ? 2 : 0, `${name}: blank records are counted`)
  }
})

t.test('the delimiter is the one with which header and records agree', async (t) => {
  t.equal(findDelimiter('a;b\n1,5;2,5\n', ','), ';')
  t.equal(findDelimiter('a,b\n"1;2",3;4\n', ','), ',')
  t.equal(findDelimiter('text\nhello, world\n', ','), ',', 'one column')
  t.equal(findDelimiter('a\tb,c\n1\t2\n', ','), '\t')
  t.equal(findDelimiter('a,b;c,d\n1,2;3,4\n', ','), ',', 'canary: as good, so the preferred one')
  t.same(columnNames([' Question ', 'ANSWER', 'other'], ['question', 'answer']), ['question', 'answer', 'other'])
  t.same(columnNames(['Question', 'question'], ['question']), ['Question', 'question'], 'an exact name stands')
  t.same(columnNames(['Input IDs'], ['input_ids']), ['input_ids'])
  const lines = 'name, first;text\na;"1, 2\n3, 4\n5, 6\n7\n8"\n'
  t.equal(findDelimiter(lines, ','), ';', 'the share of the records, not their number')
})

t.test('CSV in pieces cut anywhere is the same as in one', async (t) => {
  const text = 'a;b\r\n"1;\r\n""x""";2\r\r\n;"";\n"open'
  const whole = new CsvParser(';')
  const expected = [...whole.push(text), ...whole.finish()]
  t.same(
    expected.map(({ line, fields }) => [line, fields]),
    [
      [1, ['a', 'b']],
      [2, ['1;\r\n"x"', '2']],
      [5, ['', '', '']],
      [6, ['open']],
    ],
  )
  t.match(expected.at(-1)!.problem, /closing quote/)
  for (let cut = 0; cut <= text.length; ++cut) {
    const parser = new CsvParser(';')
    const parts = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut)), ...parser.finish()]
    t.same(parts, expected, `cut at ${cut}`)
  }
  const fieldsOf = (text: string) => {
    const parser = new CsvParser(';')
    return [...parser.push(text), ...parser.finish()].map(({ fields }) => fields)
  }
  t.same(
    fieldsOf('a;b\n;'),
    [
      ['a', 'b'],
      ['', ''],
    ],
    'a last record of empty fields',
  )
  t.same(fieldsOf('a;b\n'), [['a', 'b']], 'nothing behind the last line end')
  t.same(fieldsOf(''), [])
})

t.test('what a CSV lacks is named with the columns that it has', async (t) => {
  const path = await file('german.csv', 'Frage;Antwort\nWie?;So.\n')
  await t.rejects(loadDataset(path, { format: 'gsm8k' }), {
    code: 'E_DATA',
    message: /german\.csv, line 2, field question: expected .* the row has Frage, Antwort/,
  })
  const data = await loadDataset(path, { format: 'gsm8k', fields: { question: 'Frage', answer: 'Antwort' } })
  t.same(rowsOf(data), [{ Frage: 'Wie?', Antwort: 'So.' }])
  const latin = await file('latin.csv', Buffer.from('text\ncaf\xe9\n', 'latin1'))
  await t.rejects(loadDataset(latin, { format: 'text' }), { code: 'E_DATA', message: /iconv -f WINDOWS-1252/ })
})

t.test('packed files: gzip and zstd, of several members, damaged or torn', async (t) => {
  const lines = Array.from({ length: 3000 }, (_, i) => JSON.stringify({ text: `${i} ${'ä'.repeat(i % 50)}` }))
  const halves = [lines.slice(0, 1500), lines.slice(1500)].map((part) => gzipSync(`${part.join('\n')}\n`))
  const data = await loadDataset(await file('two.jsonl.gz', Buffer.concat(halves)), { format: 'text' })
  t.same(
    rowsOf(data),
    lines.map((line) => JSON.parse(line)),
  )
  t.same(texts(await loadDataset(await file('hidden.jsonl', gzipSync('{"text":"a"}')), { format: 'text' })), ['a'])
  const frame = Buffer.from(zstdFrame, 'base64')
  t.same(texts(await loadDataset(await file('one.jsonl.zst', frame), { format: 'text' })), ['a', 'b'])
  const frames = await file('two.jsonl.zst', Buffer.concat([frame, frame]))
  t.same(texts(await loadDataset(frames, { format: 'text' })), ['a', 'b', 'a', 'b'])
  const broken: Record<string, Uint8Array> = {
    'torn.jsonl.gz': halves[0]!.subarray(0, 2000),
    'damaged.jsonl.gz': Buffer.concat([halves[0]!.subarray(0, 1000), Buffer.alloc(50, 7), halves[0]!.subarray(1050)]),
    'torn.jsonl.zst': frame.subarray(0, frame.length - 6),
  }
  for (const [name, bytes] of Object.entries(broken)) {
    await t.rejects(
      loadDataset(await file(name, bytes), { format: 'text' }),
      { code: 'E_DATA', message: /damaged/ },
      name,
    )
  }
  const bare = await file('rows.gz', gzipSync('{"text":"a"}'))
  await t.rejects(loadDataset(bare, { format: 'text' }), { code: 'E_ARGUMENT', message: /rows\.jsonl\.gz/ })
})

t.test('zstd: a file so short that its decoder holds all of it until the end', async (t) => {
  // Magic number, one segment of 4 bytes, the last block, raw, of 4 bytes.
  const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 4, (4 << 3) | 1, 0, 0, ...Buffer.from('t\na\n')])
  const data = await loadDataset(await file('short.csv.zst', frame), { format: 'text', fields: { text: 't' } })
  t.same(rowsOf(data), [{ t: 'a' }])
})

t.test('encodings: UTF-16 with a mark is read, without one refused by name', async (t) => {
  const text = '{"text":"ä 中 🙂"}\n{"text":"b"}\n'
  const wide = Buffer.from(`\ufeff${text}`, 'utf16le')
  t.same(texts(await loadDataset(await file('wide.jsonl', wide), { format: 'text' })), ['ä 中 🙂', 'b'])
  const array = Buffer.from('\ufeff[{"text":"ä"}]', 'utf16le').swap16()
  t.same(texts(await loadDataset(await file('wide.json', array), { format: 'text' })), ['ä'])
  await t.rejects(loadDataset(await file('bare.jsonl', wide.subarray(2)), { format: 'text' }), { code: 'E_DATA' })
  const marked = await loadDataset(await file('marked.jsonl', `\ufeff${text}`), { format: 'text' })
  t.same(texts(marked), ['ä 中 🙂', 'b'])
})

t.test('folders, lists, patterns and URLs', async (t) => {
  const line = (text: string) => `${JSON.stringify({ text })}\n`
  const a = await file('set/a.jsonl', line('a'))
  const b = await file('set/b.csv', 'text\nb\n')
  await file('set/.hidden.jsonl', line('no'))
  await file('set/sub/c.json', '[{"text":"c"}]')
  await file('set/notes.pdf', 'no')
  const set = join(folder, 'set')
  const load = (source: Parameters<typeof loadDataset>[0]) => loadDataset(source, { format: 'text' }).then(texts)
  t.same(await load(set), ['a', 'b', 'c'])
  t.same(await load(`${set}/`), ['a', 'b', 'c'])
  t.same(await load([b, a]), ['b', 'a'])
  t.same(await load([pathToFileURL(a)]), ['a'])
  t.same(await load(pathToFileURL(b)), ['b'])
  t.same(await load(join(set, '*.jsonl')), ['a'])
  t.same(await load(join(set, '**/*.{json,csv}')), ['b', 'c'])
  t.same(await load(join(set, '[ab].*')), ['a', 'b'])
  t.same(await load([join(set, 'sub'), a]), ['c', 'a'])
  await t.rejects(load(join(set, '*.txt')), { code: 'E_MISSING', message: /matches no file/ })
  await t.rejects(load([a, join(set, 'absent.jsonl')]), { code: 'E_MISSING' })
  await t.rejects(load([a, 7 as never]), { code: 'E_ARGUMENT', message: /source\[1\]/ })
  await t.rejects(load([7 as never, a]), { code: 'E_ARGUMENT', message: /source\[0\]/ })
  await t.rejects(loadDataset([a, b], { format: 'gsm8k' }), { code: 'E_DATA', message: /a\.jsonl, line 1/ })
  const empty = await file('empty/e.jsonl', '')
  const blank = await file('empty/f.jsonl', line(' '))
  await t.rejects(load([empty]), { code: 'E_DATA', message: /e\.jsonl: holds no row/, details: { file: empty } })
  await t.rejects(load([empty, blank]), { code: 'E_DATA', message: /^2 files: holds no good row \(0 are bad, 1 blank/ })
  await t.rejects(load([]), { code: 'E_DATA', message: /^\(in memory\): holds no row/ })
  const both = await loadDataset([a, b], { format: 'text', limit: 1 })
  t.equal(both.length, 1)
  const bad = await file('set2/d.jsonl', `${line('x')}{"text":7}\n`)
  await t.rejects(load([a, bad]), { code: 'E_DATA', details: { file: bad, line: 2 } })
  t.notOk(patternExpression('/x/*.json').test('/x/y/z.json'), 'canary: * stays within a name')
})

t.test('folders of texts: a text a file', async (t) => {
  await file('books/one.txt', 'first\nbook')
  await file('books/deep/two.txt', '\ufeffsecond')
  const books = join(folder, 'books')
  t.same(texts(await loadDataset(books, { format: 'text' })), ['second', 'first\nbook'])
  t.same(texts(await loadDataset(join(books, 'one.txt'), { format: 'text' })), ['first\nbook'])
  await t.rejects(loadDataset(join(books, 'one.txt'), { format: 'gsm8k' }), { code: 'E_DATA', details: { row: 1 } })
  await file('books/rows.jsonl', '{"text":"a"}')
  await t.rejects(loadDataset(books, { format: 'text' }), { code: 'E_ARGUMENT', message: /both \.txt files and/ })
  t.equal((await loadDataset(join(books, '*.txt'), { format: 'text' })).length, 1)
  await mkdir(join(folder, 'nothing'))
  await t.rejects(loadDataset(join(folder, 'nothing'), { format: 'text' }), { code: 'E_ARGUMENT', message: /no file/ })
})

t.test('kinds that are not read are named with what helps', async (t) => {
  for (const [name, cure] of [
    ['x.orc', /\.jsonl, /],
    ['x.arrow', /datasets/],
    ['x.xlsx', /CSV UTF-8/],
    ['x.zip', /unpack/],
    ['x.jsonl.bz2', /bunzip2/],
    ['x.dat', /\.jsonl, /],
  ] as const) {
    await t.rejects(loadDataset(join(folder, name), { format: 'text' }), { code: 'E_ARGUMENT', message: cure }, name)
  }
  await file('tables/train.arrow', 'ARROW1')
  await t.rejects(loadDataset(join(folder, 'tables'), { format: 'text' }), { message: /from_file/ })
})

/** Values of `bytes` when it comes in pieces of `size` bytes. */
function valuesOf(bytes: Buffer, size: number): unknown[] {
  const values = new JsonValues()
  const found: unknown[] = []
  for (let at = 0; at < bytes.length; at += size) {
    for (const value of values.push(bytes.subarray(at, at + size))) found.push(JSON.parse(String(value)))
  }
  const last = values.finish()
  return last === undefined ? found : [...found, JSON.parse(String(last))]
}

t.test('JSON values in pieces of any size are those of JSON.parse', async (t) => {
  const random = new Random(7, 99)
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!
  const value = (depth: number): unknown => {
    const kind = depth === 0 ? random.below(4) : random.below(6)
    if (kind === 0) return pick(['', 'a"b', '\\', '\\"', ']}[{', 'ä中🙂', '\n'])
    if (kind === 1) return pick([0, -1.5e-7, 12345])
    if (kind === 2) return pick([null, true, false])
    if (kind === 3) return 'x'.repeat(random.below(40))
    const list = Array.from({ length: random.below(4) }, () => value(depth - 1))
    return kind === 4 ? list : Object.fromEntries(list.map((item, i) => [pick(['"', '}', 'k']) + i, item]))
  }
  for (let round = 0; round < 300; ++round) {
    const list = Array.from({ length: random.below(5) }, () => value(3))
    const bytes = Buffer.from(JSON.stringify(list, null, pick([0, 1, 2])))
    for (const size of [1, 2, 3, 7, 64, 4096]) t.same(valuesOf(bytes, size), list)
  }
  for (const text of ['[1,2', '[1 2]', '[1]x', '[', '{"a":[', '[1,]x', ']', '["a', '[,1]']) {
    t.throws(() => valuesOf(Buffer.from(text), 2), { message: /^(it ends|expected)/ }, `canary: ${text}`)
  }
})

t.test('.json: arrays, lines, and objects that wrap the rows', async (t) => {
  const load = (name: string, content: string) =>
    file(name, content).then((path) => loadDataset(path, { format: 'text' }))
  t.same(texts(await load('array.json', ' [ {"text":"a"} , {"text":"b"} ] \n')), ['a', 'b'])
  t.same(texts(await load('lines.json', '{"text":"a"}\n{"text":"b"}\n')), ['a', 'b'], 'JSON Lines under another name')
  await t.rejects(load('wrapped.json', '{"version":1,"data":[{"text":"a"}]}'), {
    code: 'E_DATA',
    message: /an object whose "data" is an array of objects; write the rows out: jq -c '\.\["data"\]\[\]'/,
  })
  await t.rejects(load('object.json', '{"text":"a"}'), { code: 'E_DATA', message: /\.jsonl/ })
  await t.rejects(load('number.json', '7'), { code: 'E_DATA', message: /found the number 7/ })
  await t.rejects(load('torn.json', '[{"text":"a"},{"te'), { code: 'E_DATA', message: /after 1 rows: it ends within/ })
  await t.rejects(load('comma.json', '[{"text":"a"} {"text":"b"}]'), { code: 'E_DATA', message: /a comma/ })
  await t.rejects(load('inner.json', '[{"text":"a"},{"text":b}]'), { code: 'E_DATA', message: /row 2/ })
  await t.rejects(load('none.json', '[]'), { code: 'E_DATA', message: /holds no row/ })
  await t.rejects(load('array.jsonl', '[\n{"text":"a"}\n]\n'), { code: 'E_DATA', message: /is named \.json/ })
})

t.test('lines: blank ones are left out, and a lone bracket on the first says what the file is', async (t) => {
  const data = await loadDataset(await file('blanks.jsonl', '{"text":"a"}\n \t\n\n  {"text":"b"} \r\n\r\n'), {
    format: 'text',
  })
  t.same(texts(data), ['a', 'b'])
  const message = async (name: string, content: string) => {
    try {
      await loadDataset(await file(name, content), { format: 'text' })
    } catch (error) {
      return (error as Error).message
    }
    return 'it was read'
  }
  const hint = /one JSON array is named \.json/
  t.match(await message('array.jsonl', '[\n{"text":"a"}\n]\n'), hint)
  t.match(await message('later.jsonl', '{"text":"a"}\n[\n'), /line 2: .*not JSON/)
  t.notMatch(await message('later.jsonl', '{"text":"a"}\n[\n'), hint, 'not on another line')
  t.match(await message('words.jsonl', 'words\n'), /line 1: .*not JSON/)
  t.notMatch(await message('words.jsonl', 'words\n'), hint, 'nor for another first line')
})

t.test('a pattern may begin at the working folder', async (t) => {
  const here = t.testdir({ 'a.jsonl': '{"text":"a"}\n', 'b.txt': 'b', in: { 'c.jsonl': '{"text":"c"}\n' } })
  const before = process.cwd()
  process.chdir(here)
  t.teardown(() => process.chdir(before))
  t.same(texts(await loadDataset('*.jsonl', { format: 'text' })), ['a'])
  t.same(texts(await loadDataset('./*/*.jsonl', { format: 'text' })), ['c'])
  t.same(texts(await loadDataset(join(here, '{a,x}.jsonl'), { format: 'text' })), ['a'])
})

t.test('.json: lines, the first of which is longer than a piece', async (t) => {
  const rows = ['x'.repeat(3_000_000), 'y'].map((text) => ({ text }))
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('')
  t.same(texts(await loadDataset(await file('long-lines.json', lines), { format: 'text' })), [rows[0]!.text, 'y'])
})

t.test('.json: a lone object of more than 64 MiB is refused before its end, a line of that size is read', async (t) => {
  const piece = Buffer.alloc(2 ** 20, 'x')
  let read = 0
  const rowsOf = async (before: string, count: number, after: string) => {
    read = 0
    async function* pieces() {
      yield Buffer.from(before)
      while (read < count) {
        read++
        yield piece
      }
      yield Buffer.from(after)
    }
    const rows: unknown[] = []
    for await (const batch of jsonArray('large.json', { pieces: pieces() } as never)) rows.push(...batch)
    return rows
  }
  await t.rejects(rowsOf('{"rows":[{"text":"', 80, '"}]}'), { code: 'E_DATA', message: /an object whose "rows"/ })
  t.equal(read, 64)
  t.equal((await rowsOf('{"text":"a"}\n{"text":"b"}\n{"text":"', 66, '"}\n')).length, 3)
})

t.test('files of a folder come in the order of their names, of a pattern too; ? is one character', async (t) => {
  const names = ['c', 'a', 'd', 'b', 'ab', '\u{1f600}', '\uff5e']
  const here = t.testdir(Object.fromEntries(names.map((name) => [`${name}.jsonl`, `{"text":"${name}"}\n`])))
  const read = async (source: string) => texts(await loadDataset(join(here, source), { format: 'text' }))
  const order = ['a', 'ab', 'b', 'c', 'd', '\u{1f600}', '\uff5e'] // by UTF-16 units; by bytes the last two change places
  t.same(await read(''), order)
  t.same(await read('*.jsonl'), order)
  t.same(
    (await read('?.jsonl')).filter((name) => name < 'e'),
    ['a', 'b', 'c', 'd'],
  )
  t.notOk(patternExpression('/x/?').test('/x//'), 'no slash')
})

t.test('a CSV of many pieces', async (t) => {
  const rows = Array.from({ length: 20_000 }, (_, i) => ({ n: String(i), text: `${i} `.repeat(12) }))
  const data = await loadDataset(
    await file('long.csv', `n;text\n${rows.map(({ n, text }) => `${n};${text}\n`).join('')}`),
    { format: 'text' },
  )
  t.equal(data.length, rows.length)
  t.ok(rows.every((row, i) => row.n === data.row(i).n && row.text === data.row(i).text))
})

t.test('a pipe is read once, from its beginning', async (t) => {
  const path = join(folder, 'pipe.jsonl')
  execFileSync('mkfifo', [path])
  const [data] = await Promise.all([
    loadDataset(path, { format: 'text', cache: false }),
    writeFile(path, '\ufeff{"text":"a"}\n{"text":"b"}\n'),
  ])
  t.same(texts(data), ['a', 'b'])
})

t.test('why a file or its bytes cannot be read', (t) => {
  const failure = (code: string) => readError('x.gz', Object.assign(new Error('why'), { code }))
  t.match(failure('ENOENT'), { code: 'E_MISSING', message: /^x\.gz: does not exist/ })
  t.match(failure('Z_DATA_ERROR'), { code: 'E_DATA', message: /is damaged: why/ })
  t.match(failure('ERR_ZSTD'), { code: 'E_DATA', message: /is damaged: why/ })
  t.match(failure('EACCES'), { code: 'E_IO', message: /^x\.gz: could not be read: why/, details: { file: 'x.gz' } })
  for (const other of [new Error('mine'), failure('EACCES'), 'text', null]) t.equal(readError('x', other), other)
  const large = { length: 2 ** 30, includes: () => t.fail('it is not searched') } as unknown as Uint8Array
  t.match(notText(large), { expected: 'at most 512 MiB', found: /^1073741824 bytes/ })
  t.match(notText(Buffer.from([0xff, 0])), { expected: 'UTF-8', found: /UTF-16/ })
  t.end()
})
