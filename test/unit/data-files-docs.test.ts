/** docs/data-files.md: the files that are shown are written and loaded; options, names and numbers are those of the code. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import { heldBytes } from '../../src/data/rows/row-store.js'
import { cachedFrom } from '../../src/data/tokens/prepare.js'
import { cacheLimit } from '../../src/data/tokens/token-cache.js'

const page = readFileSync(new URL('../../docs/data-files.md', import.meta.url), 'utf8')

/** Files that are shown: a line that begins with the name, and the next fenced block. */
const shown = [...page.matchAll(/^`(rows\.\w+)`[\s\S]*?^```\w+\n([\s\S]*?)^```$/gm)].map(([, name, text]) => ({
  name: name!,
  text: text!,
}))

t.test('every file that is shown is read as it is said', async (t) => {
  const folder = t.testdir()
  t.same(
    shown.map(({ name }) => name),
    ['rows.jsonl', 'rows.json', 'rows.csv'],
  )
  for (const { name, text } of shown) {
    const path = join(folder, name)
    writeFileSync(path, text)
    const data = await loadDataset(path, { format: 'gsm8k' })
    t.equal(data.length, 2, name)
    t.equal(data.counts.empty, name === 'rows.csv' ? 1 : 0)
    t.match(data.row(0), { question: /^What is 1/, answer: /^3/ })
  }
  t.equal(
    (await loadDataset(join(folder, 'rows.csv'), { format: 'gsm8k' })).row(1).question,
    'What is 2 + 2;\nand "why"?',
  )
})

t.test('every source that is shown is read', async (t) => {
  const folder = t.testdir()
  const line = '{"question":"a","answer":"b"}\n'
  for (const name of ['data', 'data/deep', 'books']) mkdirSync(join(folder, name))
  for (const name of ['a.jsonl', 'rows.jsonl', 'data/c.jsonl', 'data/deep/d.jsonl'])
    writeFileSync(join(folder, name), line)
  writeFileSync(join(folder, 'b.csv.gz'), 'question;answer\na;b\n') // what is packed is seen, not believed by its name
  writeFileSync(join(folder, 'books/e.txt'), 'text')
  const sources = [...page.matchAll(/^await loadDataset\((.+), \{ format: '(\w+)' \}\)/gm)]
  t.equal(sources.length, 5)
  const here = process.cwd()
  process.chdir(folder)
  t.teardown(() => process.chdir(here))
  const lengths: number[] = []
  for (const [, source, format] of sources) {
    const value = source!.startsWith('new URL')
      ? new URL(`file://${folder}/rows.jsonl`)
      : JSON.parse(source!.replaceAll("'", '"'))
    lengths.push((await loadDataset(value, { format: format as 'gsm8k' })).length)
  }
  t.same(lengths, [2, 2, 2, 1, 1])
})

t.test('numbers are those of the code', async (t) => {
  t.ok(page.includes(`Beyond ${heldBytes / 2 ** 20} MiB of text`))
  t.ok(page.includes(`of ${cachedFrom / 2 ** 20} MiB of text and more`))
  t.ok(page.includes(`more than ${cacheLimit / 2 ** 30} GiB`))
})
