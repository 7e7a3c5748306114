/** docs/data.md: every example row is loaded by the format of its section, and gives the text that is shown under it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { datasetOptionsSchema } from '../../src/data/dataset-options.js'
import { type FormatName, formatNames, formats } from '../../src/data/formats/formats.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import { supervisedText } from '../support/supervised-text.js'

const page = readFileSync(new URL('../../docs/data.md', import.meta.url), 'utf8')
const tokenizer = await loadTokenizer(new URL('../../assets/gsm-3m', import.meta.url).pathname)

interface Example {
  format: FormatName
  json: string
  text: string | undefined
}

/** The fenced rows of each format's section, each with the text behind it. */
function examples(): Example[] {
  return [...page.matchAll(/^### `([\w-]+)`\n([\s\S]*?)(?=^### `|^## )/gm)].flatMap(([, format, section]) =>
    [...section!.matchAll(/^```json\n([\s\S]*?)^```\n(?:\n^```text\n([\s\S]*?)\n^```\n)?/gm)].map(([, json, text]) => ({
      format: format as FormatName,
      json: json!,
      text,
    })),
  )
}

async function marked(format: FormatName, json: string): Promise<string> {
  const data = await loadDataset([JSON.parse(json)], { format, tokenizer })
  t.same(data.counts.ignoredColumns, {})
  return supervisedText(data.sample(0), tokenizer)
}

t.test('every example is what the page says', async (t) => {
  const found = examples()
  for (const name of formatNames.filter((name) => name !== 'code-alpaca')) {
    t.ok(
      found.some(({ format }) => format === name),
      `${name} has an example`,
    )
  }
  for (const { format, json, text } of found) {
    const got = await marked(format, json)
    if (format !== 'tokens') t.equal(got, text, `${format}: ${json}`)
    t.not(got, `${text} `, 'canary')
  }
  t.equal(found.length, 12)
})

t.test('columns and options are those of the code', async (t) => {
  for (const name of formatNames) {
    for (const column of formats[name].fields) t.ok(page.includes(`\`${column}\``), `${name} reads ${column}`)
  }
  for (const option of Object.keys(datasetOptionsSchema.shape)) t.ok(page.includes(`\`${option}\``), option)
})

t.test('the error is as it is shown', async (t) => {
  const shown = /^```text\n(rows\.jsonl, line 1.*)\n```/m.exec(page)![1]!
  const file = join(t.testdir(), 'rows.jsonl')
  writeFileSync(file, '{"question":"a","answer":"b"}\n')
  await t.rejects(loadDataset(file, { format: 'alpaca' }), { message: `${file}${shown.slice('rows.jsonl'.length)}` })
})
