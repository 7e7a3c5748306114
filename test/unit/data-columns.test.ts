/** Nothing of a row is lost in silence: columns are honoured, refused, or counted as ignored; what misses its columns is told the cure. */
import t from 'tap'
import type { Dataset } from '../../src/data/dataset.js'
import type { DatasetOptions } from '../../src/data/dataset-options.js'
import type { Row } from '../../src/data/formats/formats.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'

const tokenizer = await loadTokenizer(new URL('../../assets/gsm-3m', import.meta.url).pathname)

const load = (rows: Row[], format: DatasetOptions['format'], options: Partial<DatasetOptions> = {}) =>
  loadDataset(rows, { format, tokenizer, ...options })
const labels = (data: Dataset, row = 0) => [...data.sample(row).labels]

t.test('columns that a format does not read are counted, and said', async (t) => {
  const rows = [
    { instruction: 'a', output: 'b', id: 1, source: 'x' },
    { instruction: 'c', output: 'd', id: 2, source: null },
  ]
  const data = await load(rows, 'alpaca')
  t.same(data.counts.ignoredColumns, { id: 2, source: 1 })
  t.match(data.warnings, [/alpaca does not read: id \(2 rows\), source \(1 rows\)/])
  t.same(data.subset([0]).warnings, data.warnings, 'a part says it, too')
  const renamed = await load([{ q: 'a', output: 'b', instruction: 'c' }], 'alpaca', { fields: { instruction: 'q' } })
  t.same(renamed.counts.ignoredColumns, { instruction: 1 }, 'a column that another replaces is not read')
  const labelled = await load([{ text: 'a', topic: 'x' }], 'text', { category: 'topic' })
  t.same(labelled.counts.ignoredColumns, {}, 'the category is read')
  t.same(labelled.warnings, [])
})

t.test('blank records and blank completions are left out and counted', async (t) => {
  const alpaca = [
    { instruction: 'a', input: '', output: 'b' },
    { instruction: '', input: '', output: '' },
    { instruction: 'c', output: ' \n' },
  ]
  const data = await load(alpaca, 'alpaca')
  t.match(data.counts, { rows: 1, empty: 2, skipped: 0 })
  t.match((await load([{ text: '' }, { text: 'a' }], 'text')).counts, { rows: 1, empty: 1 })
  t.match(
    (
      await load(
        [
          { question: 'a', answer: '' },
          { question: 'a', answer: '1' },
        ],
        'gsm8k',
      )
    ).counts,
    { empty: 1 },
  )
  const silent = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: ' ' },
  ]
  const heard = [...silent, { role: 'user', content: 'b' }, { role: 'assistant', content: 'c' }]
  t.match((await load([{ messages: silent }, { messages: heard }], 'messages')).counts, { rows: 1, empty: 1 })
  await t.rejects(load([{ text: ' ' }], 'text'), { code: 'E_DATA', message: /no good row .*1 blank/ })
  t.match((await load([{ prompt: '', completion: 'a' }], 'prompt-completion')).counts, { rows: 1, empty: 0 })
})

t.test('a text that ends in an end token gets no second one', async (t) => {
  for (const text of ['yo<|im_end|>', 'yo']) {
    const data = await load([{ text }], 'text')
    t.equal(tokenizer.decode(data.sample(0).inputIds), 'yo<|im_end|>')
    t.same(labels(data), [...data.sample(0).inputIds], 'and it is supervised')
  }
  const pair = await load([{ prompt: 'a', completion: 'b<|im_end|>' }], 'prompt-completion')
  t.equal(tokenizer.decode(pair.sample(0).inputIds), 'ab<|im_end|>')
  const middle = await load([{ text: 'yo<|im_end|>!' }], 'text')
  t.equal(tokenizer.decode(middle.sample(0).inputIds), 'yo<|im_end|>!<|im_end|>', 'canary: one in the middle is no end')
})

t.test('tokens: masks say what is supervised and what was padded', async (t) => {
  const input_ids = [5, 6, 7, 8]
  const data = await load(
    [
      { input_ids, completion_mask: [0, 0, 1, 1] },
      { input_ids, labels: [5, -100, 7, 8], assistant_masks: [0, 1, 1, 0] },
      { input_ids, attention_mask: [0, 1, 1, 0], labels: [-100, 6, 7, -100] },
      { input_ids, attention_mask: Int32Array.of(1, 1, 1, 1), position_ids: [0, 1, 2, 3] },
      { input_ids, completion_mask: [0, 1, 1, 1], assistant_masks: [1, 0, 1, 1] },
    ],
    'tokens',
  )
  t.same(labels(data, 0), [-100, -100, 7, 8])
  t.same(labels(data, 1), [-100, -100, 7, -100])
  t.same([...data.sample(2).inputIds], [6, 7])
  t.same(labels(data, 2), [6, 7])
  t.same(labels(data, 3), input_ids)
  t.same(labels(data, 4), [-100, -100, 7, 8], 'both masks count')
  t.same(data.counts.ignoredColumns, {})
  const refused = (row: Row, field: string) => t.rejects(load([row], 'tokens'), { code: 'E_DATA', details: { field } })
  await refused({ input_ids, completion_mask: [0, 1] }, 'completion_mask')
  await refused({ input_ids, completion_mask: [0, 1, 2, 0] }, 'completion_mask[2]')
  await refused({ input_ids, assistant_masks: 'x' }, 'assistant_masks')
  await refused({ input_ids, attention_mask: [1, 0, 1, 1] }, 'attention_mask')
  await refused({ input_ids, attention_mask: [0, 0, 0, 0] }, 'attention_mask')
  await refused({ input_ids, position_ids: [0, 1, 0, 1] }, 'position_ids')
  await refused({ input_ids, seq_lengths: [2, 2] }, 'seq_lengths')
})

t.test('missing columns: the columns found, and what reads them', async (t) => {
  const says = (row: Row, format: DatasetOptions['format'], message: RegExp) =>
    t.rejects(load([row], format), { code: 'E_DATA', message })
  await says({ question: 'a', answer: 'b' }, 'alpaca', /the row has question, answer: .*format: 'gsm8k'/)
  await says(
    { question: 'a', answer: 'b' },
    'alpaca',
    /or with fields: \{ instruction: 'question', output: 'answer' \}/,
  )
  await says({ instruction: 'a', response: 'b' }, 'alpaca', /format: 'dolly', or with fields: \{ output: 'response' \}/)
  await says({ instruction: 'a', output: 'b' }, 'prompt-completion', /format: 'alpaca'/)
  await says({ conversation: [{ role: 'user', content: 'a' }] }, 'messages', /fields: \{ messages: 'conversation' \}/)
  await says({ content: 'a' }, 'text', /fields: \{ text: 'content' \}/)
  await says({ x: 1 }, 'gsm8k', /the row has x: the format gsm8k reads question, answer; name the columns with fields/)
  await says({ question: 7, response: 'b' }, 'alpaca', /the row has question, response: .*name the columns with fields/)
  const others: [DatasetOptions['format'], string, Row, string][] = [
    ['prompt-completion', 'prompt', { output: 'b' }, 'instruction question query input problem user'],
    ['prompt-completion', 'completion', { prompt: 'a' }, 'output response answer target solution assistant'],
    ['alpaca', 'instruction', { output: 'b' }, 'question query prompt task problem user'],
    ['text', 'text', {}, 'content document body article sentence'],
    ['messages', 'messages', {}, 'conversation dialog dialogue chat turns'],
  ]
  for (const [format, field, row, names] of others) {
    const value = format === 'messages' ? [{ role: 'user', content: 'a' }] : 'a'
    for (const name of names.split(' ')) {
      await says({ ...row, [name]: value }, format, new RegExp(`fields: \\{.*\\b${field}: '${name}'`))
    }
  }
  const cured = await load([{ question: 'a', answer: 'b' }], 'alpaca', {
    fields: { instruction: 'question', output: 'answer' },
  })
  t.equal(cured.length, 1, 'the cure cures')
  await t.rejects(load([{ instruction: 1, output: 'b' }], 'alpaca'), { message: /mend the row/ }, 'canary: not missing')
})
