/** Reading of files and iterables, bad rows, truncation, counts, parts and fingerprints; GSM8K against PyTorch's token count. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Batches } from '../../src/data/batches.js'
import type { Dataset } from '../../src/data/dataset.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { CsvParser } from '../../src/data/reading/csv.js'
import { Categories } from '../../src/data/rows/categories.js'
import { Places } from '../../src/data/rows/places.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import type { Refusal } from '../support/refusal.js'

const asset = (name: string) => new URL(`../../assets/${name}`, import.meta.url).pathname
const tokenizer = await loadTokenizer(asset('gsm-3m'))
const folder = await mkdtemp(join(tmpdir(), 'fedlora-dataset-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

const supervised = (data: Dataset) => {
  let count = 0
  for (let i = 0; i < data.length; ++i)
    count += data
      .sample(i)
      .labels.subarray(1)
      .filter((label) => label !== -100).length
  return count
}

t.test('GSM8K: as many supervised tokens as PyTorch counts', async (t) => {
  // test/golden/demo.json: "tokens" of the judge, 200 rows of at most 512 tokens.
  const judge = await loadDataset(asset('gsm8k/test.jsonl'), {
    format: 'gsm8k',
    maxLength: 512,
    overlong: 'drop',
    tokenizer,
  })
  t.equal(supervised(judge), 25304)
  t.same(judge.counts, { rows: 200, truncated: 0, skipped: 0, unsupervised: 0, empty: 0, ignoredColumns: {} })
  const fewer = await loadDataset(asset('gsm8k/test.jsonl'), { format: 'gsm8k', limit: 199, tokenizer })
  t.not(supervised(fewer), 25304, 'canary: one row less is another count')
  const train = await loadDataset(asset('gsm8k/train.jsonl'), { format: 'gsm8k', maxLength: 512 })
  t.equal(train.length, 2000)
})

const rows = [
  { prompt: 'a, "quoted"', completion: 'line\nbreak' },
  { prompt: 'ä', completion: ',' },
  { prompt: '中文', completion: 'x' },
]

t.test('JSONL, JSON, CSV and iterables give the same rows', async (t) => {
  const csv = `\ufeffprompt,completion\r\n${rows.map((row) => `"${row.prompt.replaceAll('"', '""')}","${row.completion}"`).join('\r\n')}`
  const sources = [
    await file('rows.jsonl', `${rows.map((row) => JSON.stringify(row)).join('\n\n')}\n`),
    await file('unended.jsonl', rows.map((row) => JSON.stringify(row)).join('\r\n')),
    await file('rows.json', JSON.stringify(rows)),
    await file('rows.csv', csv),
    rows,
    (function* () {
      yield* rows
    })(),
    (async function* () {
      yield* rows
    })(),
  ]
  for (const source of sources) {
    const data = await loadDataset(source, { format: 'prompt-completion', tokenizer })
    t.same(
      Array.from({ length: data.length }, (_, i) => data.row(i)),
      rows,
    )
    const texts = []
    for await (const { inputIds } of data) texts.push(tokenizer.decode(inputIds))
    t.same(texts, ['a, "quoted"line\nbreak<|im_end|>', 'ä,<|im_end|>', '中文x<|im_end|>'])
  }
})

t.test('rows are as they were when they were read, whatever becomes of the objects they came in', async (t) => {
  const one = { text: 'first' }
  const listed = await loadDataset([one], { format: 'text' })
  one.text = 'changed'
  t.equal(listed.row(0).text, 'first')
  const yielded = await loadDataset(
    (function* () {
      for (one.text of ['a', 'b', 'c']) yield one
    })(),
    { format: 'text' },
  )
  t.same(
    [0, 1, 2].map((i) => yielded.row(i).text),
    ['a', 'b', 'c'],
  )
})

t.test('a JSONL file longer than one read, with lines across the reads', async (t) => {
  const long = Array.from({ length: 3000 }, (_, i) => ({ text: `${i} ${'é'.repeat(i % 97)}` }))
  const path = await file('long.jsonl', long.map((row) => JSON.stringify(row)).join('\n'))
  const data = await loadDataset(path, { format: 'text' })
  t.equal(data.length, 3000)
  t.ok(long.every((row, i) => data.row(i).text === row.text))
})

t.test('CSV after RFC 4180', async (t) => {
  const parse = (text: string) => {
    const parser = new CsvParser(',')
    return [...parser.push(text), ...parser.finish()].map(({ line, fields, problem }) => [
      line,
      fields,
      problem !== null,
    ])
  }
  t.same(parse('a,b\n1,2\n'), [
    [1, ['a', 'b'], false],
    [2, ['1', '2'], false],
  ])
  t.same(parse('a,"b\r\nc ""d"""\r\n,\r\n'), [
    [1, ['a', 'b\r\nc "d"'], false],
    [3, ['', ''], false],
  ])
  t.same(parse('a\rb\r\n\nc'), [
    [1, ['a'], false],
    [2, ['b'], false],
    [4, ['c'], false],
  ])
  t.same(parse('""'), [], 'an empty line')
  t.same(parse('a,'), [[1, ['a', ''], false]])
  t.same(
    parse('"a"x,b\na"b\n"open').map(([, , problem]) => problem),
    [true, true, true],
    'canary: broken quotes are seen',
  )
})

t.test('a bad row names file, line, field, expected and found', async (t) => {
  const lines = ['{"text":"good"}', '{"text":7}', '{"text":', '[1]', '{"other":1}', '{"text":"last"}']
  const load = (name: string, content: string | Uint8Array, options = {}) =>
    file(name, content).then((path) => loadDataset(path, { format: 'text', ...options }))
  await t.rejects(load('bad.jsonl', lines.join('\n')), {
    code: 'E_DATA',
    message: /bad\.jsonl, line 2, field text: expected a text, found the number 7/,
    details: { file: join(folder, 'bad.jsonl'), line: 2, field: 'text', expected: 'a text', found: 'the number 7' },
  })
  await t.rejects(load('torn.jsonl', lines.slice(2).join('\n')), { code: 'E_DATA', details: { line: 1 } })
  await t.rejects(load('list.jsonl', lines[3]!), { code: 'E_DATA', details: { line: 1, expected: 'an object' } })
  await t.rejects(load('latin.jsonl', Buffer.from('{"text":"caf\xe9"}', 'latin1')), {
    code: 'E_DATA',
    details: { expected: 'UTF-8' },
  })
  await t.rejects(load('bad.json', '[{"text":"a"},{"text":null}]'), {
    code: 'E_DATA',
    details: { row: 2, found: 'null' },
  })
  await t.rejects(load('object.json', '{"text":"a"}'), { code: 'E_DATA' })
  await t.rejects(load('torn.json', '[{'), { code: 'E_DATA' })
  await t.rejects(load('bad.csv', 'text,b\na,1\nb\n'), {
    code: 'E_DATA',
    details: { line: 3, expected: '2 fields as in the header' },
  })
  await t.rejects(load('open.csv', 'text\n"a'), { code: 'E_DATA', details: { line: 2 } })
  await t.rejects(load('twice.csv', 'text,text\na,b'), { code: 'E_DATA', message: /twice/ })
  await t.rejects(loadDataset([{ text: 'a' }, null as never], { format: 'text' }), {
    code: 'E_DATA',
    details: { row: 2 },
  })

  const skipping = await load('skip.jsonl', lines.join('\n'), { onBadRow: 'skip', tokenizer })
  t.same(skipping.counts, { rows: 2, truncated: 0, skipped: 4, unsupervised: 0, empty: 0, ignoredColumns: {} })
  t.same(skipping.row(1), { text: 'last' })
  await t.rejects(load('none.jsonl', '{"a":1}', { onBadRow: 'skip' }), { code: 'E_DATA', message: /no good row/ })
  await t.rejects(load('empty.jsonl', '\n'), { code: 'E_DATA', message: /holds no row/ })
})

t.test('sources and options that make no sense', async (t) => {
  const data = [{ text: 'a' }]
  await t.rejects(loadDataset(join(folder, 'absent.jsonl'), { format: 'text' }), { code: 'E_MISSING' })
  await t.rejects(loadDataset(join(folder, 'x.arrow'), { format: 'text' }), { code: 'E_ARGUMENT' })
  await t.rejects(loadDataset(7 as never, { format: 'text' }), { code: 'E_ARGUMENT' })
  await t.rejects(loadDataset(data, { format: 'alpacca' as never }), { code: 'E_CONFIG' })
  await t.rejects(loadDataset(data, { format: 'text', maxlength: 4 } as never), {
    code: 'E_CONFIG',
    message: /maxLength/,
  })
  await t.rejects(loadDataset(data, { format: 'text', fields: { txt: 'a' } }), { code: 'E_CONFIG', message: /"text"/ })
  await t.rejects(loadDataset(data, { format: 'text', tokenizer: 7 as never }), { code: 'E_CONFIG' })
  await t.rejects(loadDataset(data, { format: 'text', tokenizer: folder }), { code: 'E_TOKENIZER' })
})

t.test('fields under other names, and a category', async (t) => {
  const source = [
    { frage: 'q', antwort: 'a', art: 'x' },
    { frage: 'r', antwort: 'b', art: 'y' },
  ]
  const options = {
    format: 'gsm8k',
    fields: { question: 'frage', answer: 'antwort' },
    category: 'art',
    tokenizer,
  } as const
  const data = await loadDataset(source, options)
  t.equal(tokenizer.decode(data.sample(1).inputIds), 'Question: r\nAnswer: b<|im_end|>')
  t.equal(data.category(1), 'y')
  t.same(data.row(0), source[0])
  await t.rejects(loadDataset([{ frage: 'q', antwort: 1, art: 'x' }], options), {
    code: 'E_DATA',
    details: { field: 'antwort' },
  })
  await t.rejects(loadDataset([{ frage: 'q', antwort: 'a' }], options), { code: 'E_DATA', details: { field: 'art' } })
  const dolly = await loadDataset([{ instruction: 'a', response: 'b', category: 'qa' }], { format: 'dolly' })
  t.equal(dolly.category(0), 'qa')
  const code = await loadDataset([{ instruction: 'a', input: 'Rust', output: 'b' }], { format: 'code-alpaca' })
  t.equal(code.category(0), 'Rust', 'the language')
  t.equal((await loadDataset([{ text: 'a' }], { format: 'text' })).category(0), undefined)
})

t.test('rows over maxLength are cut at the right, or dropped, and counted', async (t) => {
  const source = [
    { input_ids: [1, 2, 3, 4, 5], labels: [-100, -100, -100, 4, 5] },
    { input_ids: [1, 2, 3] },
    { input_ids: [7, 8], labels: [7, -100] },
  ]
  const cut = await loadDataset(source, { format: 'tokens', maxLength: 3 })
  t.same([...cut.sample(0).inputIds], [1, 2, 3])
  const known = (data: Dataset, row: number) => {
    const { supervised, truncated } = data.sample(row)
    t.same(data.facts(row), { tokens: data.sample(row).inputIds.length, supervised, truncated })
    return [supervised, truncated]
  }
  const rows = [0, 1, 2].map((row) => known(cut, row))
  const expected = [
    [0, true],
    [2, false],
    [0, false],
  ]
  t.same(rows, expected, 'a row says what of it is supervised, and whether it was cut')
  await cut.prepare()
  t.same(
    [0, 1, 2].map((row) => known(cut, row)),
    expected,
    'out of a table, too',
  )
  const fitted = (await loadDataset(source, { format: 'tokens' })).fitted(4)
  t.same(known(fitted, 0), [1, true], 'and where it is cut for a model of few positions')
  const [batch] = new Batches(fitted, { batchSize: 3, shuffle: false })
  t.same(
    batch!.samples.map((sample) => sample.supervised),
    [1, 2, 0],
    'a batch carries it',
  )
  t.same(
    cut.counts,
    { rows: 3, truncated: 1, skipped: 0, unsupervised: 2, empty: 0, ignoredColumns: {} },
    'a label of the first token trains nothing',
  )
  const dropped = await loadDataset(source, { format: 'tokens', maxLength: 3, overlong: 'drop' })
  t.same(dropped.counts, { rows: 2, truncated: 1, skipped: 0, unsupervised: 1, empty: 0, ignoredColumns: {} })
  t.same([...dropped.sample(0).inputIds], [1, 2, 3])
})

t.test('rows of several tables are found in the table that holds them', async (t) => {
  const data = await loadDataset([{ input_ids: [1, 2] }, { input_ids: [3, 4, 5] }, { input_ids: [6] }], {
    format: 'tokens',
  })
  await data.subset([0]).prepare()
  await data.subset([2, 1]).prepare()
  t.same(
    [0, 1, 2].map((row) => [...data.sample(row).inputIds]),
    [[1, 2], [3, 4, 5], [6]],
  )
  t.same(
    [0, 1, 2].map((row) => data.facts(row).tokens),
    [2, 3, 1],
  )
})

t.test('without a tokenizer rows are tokenised when one comes', async (t) => {
  const data = await loadDataset([{ text: 'a b c d e f' }, { text: 'a' }], {
    format: 'text',
    maxLength: 3,
    overlong: 'drop',
  })
  t.throws(() => data.sample(0), { code: 'E_ARGUMENT', message: /tokenizer/ })
  t.same(data.counts, { rows: 2, truncated: 0, skipped: 0, unsupervised: 0, empty: 0, ignoredColumns: {} })
  const view = data.tokenized(tokenizer)
  t.equal(view, data.tokenized(tokenizer), 'the same object')
  t.equal(view.length, 1)
  t.equal(view.counts.truncated, 1)
  t.equal(view.sample(0).inputIds, view.sample(0).inputIds, 'tokenised once')
  t.equal(view.tokenized(tokenizer), view)
  const byFolder = await loadDataset([{ text: 'a' }], { format: 'text', tokenizer: asset('gsm-3m') })
  t.same(byFolder.sample(0), view.sample(0))
  const byModel = await loadDataset([{ text: 'a' }], {
    format: 'text',
    tokenizer: { tokenizer: async () => tokenizer },
  })
  t.equal(byModel.tokenizer, tokenizer)
})

t.test('a row that the chat template refuses is named', async (t) => {
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    await cp(join(asset('gsm-3m'), name), join(folder, name))
  await file(
    'chat_template.jinja',
    "{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}{{ messages[0].content }}",
  )
  const source = [{ messages: [{ role: 'user', content: 'a' }] }, { messages: [{ role: 'system', content: 'a' }] }]
  const data = await loadDataset(source, { format: 'messages', tokenizer: folder })
  t.same(data.sample(0).labels.filter((label) => label !== -100).length, 0)
  t.throws(() => data.sample(1), { code: 'E_DATA', message: /row 2: .*user first/, details: { row: 2 } })
})

const numbers = (count: number) => Array.from({ length: count }, (_, i) => ({ input_ids: [i + 1, i + 2] }))
const firstIds = (data: Dataset) => Array.from({ length: data.length }, (_, i) => data.sample(i).inputIds[0]!)

t.test('parts by seed: every row in exactly one', async (t) => {
  const data = await loadDataset(numbers(101), { format: 'tokens' })
  for (const seed of [0, 1, 2]) {
    const { train, validation, test } = data.split({ train: 0.7, validation: 0.1, test: 0.2, seed })
    t.same([train.length, validation.length, test.length], [71, 10, 20])
    const all = [train, validation, test].flatMap(firstIds).sort((a, b) => a - b)
    t.same(all, firstIds(data))
  }
  t.same(firstIds(data.split({ test: 0.3, seed: 4 }).train), firstIds(data.split({ test: 0.3, seed: 4 }).train))
  t.notSame(firstIds(data.split({ test: 0.3, seed: 4 }).train), firstIds(data.split({ test: 0.3, seed: 5 }).train))
  t.equal(data.split({ test: 0.3 }).train.length, 71)
  t.equal(data.split({ train: 0.5, test: 0.1 }).train.length, 51, 'shares below 1 leave rows out')
  t.throws(() => data.split({ train: 0.9, test: 0.2 }), { code: 'E_CONFIG' })
  t.throws(() => data.split({ test: 2 }), { code: 'E_CONFIG' })
})

t.test('subsets and indices outside', async (t) => {
  const data = await loadDataset(numbers(5), { format: 'tokens' })
  t.same(firstIds(data.subset([4, 0]).subset([1])), [1])
  for (const index of [-1, 5, 0.5, Number.NaN]) t.throws(() => data.sample(index), { code: 'E_ARGUMENT' })
  t.throws(() => data.subset([9]), { code: 'E_ARGUMENT' })
})

t.test('the fingerprint knows content, order and what shapes the tokens', async (t) => {
  const of = async (rows: { input_ids: ArrayLike<number> }[], options = {}) =>
    (await loadDataset(rows, { format: 'tokens', ...options })).fingerprint
  const base = await of(numbers(3))
  t.match(base, /^[0-9a-f]{64}$/)
  t.equal(await of(numbers(3)), base)
  t.equal(await of(numbers(3).map(({ input_ids }) => ({ input_ids: Int32Array.from(input_ids) }))), base)
  t.not(await of(numbers(4)), base)
  t.not(await of(numbers(3).reverse()), base, 'canary: another order is seen')
  t.not(await of(numbers(3), { maxLength: 2 }), base)
  const data = await loadDataset(numbers(3), { format: 'tokens' })
  t.equal(data.subset([0, 1, 2]).fingerprint, base)
  t.not(data.subset([0, 2]).fingerprint, base)
  t.equal((await loadDataset(numbers(3), { format: 'tokens', maxLength: 2 })).rowsFingerprint, data.rowsFingerprint)
})

t.test('names of one letter are names', async (t) => {
  const rows = [
    { q: 'one', k: 'x' },
    { q: 'two', k: 'y' },
  ]
  const data = await loadDataset(rows, { format: 'text', fields: { text: 'q' }, category: 'k' })
  t.same([data.category(0), data.category(1)], ['x', 'y'])
  await t.rejects(loadDataset(rows, { format: 'text', category: '' }), { code: 'E_CONFIG' })
})

t.test('ids have no prompt; texts and conversations do', async (t) => {
  t.equal((await loadDataset([{ input_ids: [1] }], { format: 'tokens' })).promptFormat, undefined)
  t.match((await loadDataset([{ text: 'a' }], { format: 'text' })).promptFormat, { format: 'text' })
  const chat = [{ prompt: [{ role: 'user', content: 'a' }], completion: [{ role: 'assistant', content: 'b' }] }]
  t.match((await loadDataset(chat, { format: 'prompt-completion' })).promptFormat, { format: 'messages' })
})

t.test('few different texts are kept, too many are not', async (t) => {
  const kept = new Categories()
  for (let i = 0; i < 2 ** 16; ++i) kept.add(`t${i}`)
  kept.add('t7')
  t.equal(kept.length, 2 ** 16 + 1)
  t.same([kept.at(0), kept.at(65535), kept.at(65536)], ['t0', 't65535', 't7'])
  kept.add('one more')
  t.equal(kept.length, 0, 'given up')
  kept.add('t0')
  t.equal(kept.length, 0, 'for good')
  const some = new Categories()
  for (const text of ['a', undefined, 'a']) some.add(text)
  t.same([some.length, some.at(0), some.at(1), some.at(2)], [3, 'a', undefined, 'a'])
})

t.test('a category is the row’s own also where there are too many to be kept', async (t) => {
  const rows = Array.from({ length: 2 ** 16 + 9 }, (_, i) => ({ text: 'a', from: `c${i}` }))
  const data = await loadDataset(rows, { format: 'text', category: 'from' })
  for (const i of [0, 7, 2 ** 16 - 1, 2 ** 16, 2 ** 16 + 8]) t.equal(data.category(i), `c${i}`)
})

t.test('every row keeps its place, of one file and of several', (t) => {
  const list = ['a', 'a', 'a', 'b', 'c', 'c', 'a'].map((file, i) => ({ file, unit: 'row', number: 10 - i }) as const)
  const places = new Places()
  for (const [i, place] of list.entries()) {
    places.add(place)
    t.equal(places.length, i + 1)
    t.same(
      list.slice(0, i + 1).map((_, row) => places.at(row)),
      list.slice(0, i + 1),
    )
  }
  const units = new Places()
  for (const unit of ['row', 'line'] as const) units.add({ file: 'a', unit, number: 1 })
  t.same([units.at(0).unit, units.at(1).unit], ['row', 'line'])
  t.end()
})

t.test('parts that are not asked for are empty, and train is what is left', async (t) => {
  const data = await loadDataset(
    Array.from({ length: 20 }, (_, i) => ({ input_ids: [i] })),
    { format: 'tokens' },
  )
  const sizes = (options: object) => {
    const { train, validation, test } = data.split(options)
    return [train.length, validation.length, test.length]
  }
  t.same(sizes({}), [20, 0, 0])
  t.same(sizes({ validation: 0.25 }), [15, 5, 0])
  t.same(sizes({ test: 0.1 }), [18, 0, 2])
  t.same(sizes({ train: 0.5, test: 0.1 }), [10, 0, 2])
  t.same(sizes({ validation: 0.5, test: 0.5 }), [0, 10, 10])
  t.throws(() => sizes({ train: 0.6, test: 0.5 }), { code: 'E_CONFIG', message: /sum to 1\.1/ })
})

t.test('what is no tokenizer is refused at once, and so are texts without one', async (t) => {
  for (const tokenizer of [null, 3, {}, '', { path: 3 }] as never[]) {
    await t.rejects(loadDataset([{ text: 'a' }], { format: 'text', tokenizer }), { code: 'E_CONFIG' })
  }
  const bare = await loadDataset([{ text: 'a' }], { format: 'text' })
  await t.rejects(bare.prepare(), { code: 'E_ARGUMENT', message: /has no tokenizer/ })
  await t.rejects(bare.subset([]).prepare(), { code: 'E_ARGUMENT' }, 'even where there is no row')
})

t.test('what is said of rows and options that do not go together', async (t) => {
  const refused = async (rows: object[], options: object, expected: Refusal) =>
    t.rejects(loadDataset(rows as never, options as never), expected)
  await refused(
    [{ text: 'a', kind: null }],
    { format: 'text', category: 'kind' },
    { code: 'E_DATA', details: { found: 'null' } },
  )
  await refused(
    [{ text: 'a', kind: {} }],
    { format: 'text', category: 'kind' },
    { code: 'E_DATA', details: { found: 'object' } },
  )
  const chat = { code: 'E_CONFIG', message: /has no conversations/ }
  await refused([{ text: 'a' }], { format: 'text', trainOn: 'last' }, { ...chat, details: { field: 'trainOn' } })
  await refused(
    [{ text: 'a' }],
    { format: 'text', chatTemplateKwargs: { x: 1 } },
    { ...chat, details: { field: 'chatTemplateKwargs' } },
  )
  const odd = await loadDataset(
    [
      { text: 'a', n: 1n },
      { text: 'a', n: 2n },
    ],
    { format: 'text' },
  )
  t.not(odd.subset([0]).fingerprint, odd.subset([1]).fingerprint, 'whole numbers beyond JSON')
})
