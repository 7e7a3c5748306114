/** How far reading and tokenising are: what is told, and that its numbers hold together. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { type DataProgress, Slices } from '../../src/data/progress.js'
import { readRows } from '../../src/data/reading/read-rows.js'

const folder = await mkdtemp(join(tmpdir(), 'fedlora-progress-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

/** A clock that stands still unless it is moved, in milliseconds. */
let clock = 1000
const { now } = performance
t.before(() => {
  performance.now = () => clock
})
t.teardown(() => {
  performance.now = now
})

t.test('seconds and what remains follow from the clock and the work done', async (t) => {
  const heard: DataProgress[] = []
  const slices = new Slices('tokenizing', undefined, (progress) => heard.push(progress))
  clock += Slices.reports - 1
  slices.report(1, 4, 1, 9)
  slices.report(4, 4, 4, 9, true)
  t.same(heard, [], 'work that ends before the first report is due is not spoken of')
  clock += 1501
  slices.report(1, 4, 1, 30)
  const first = { phase: 'tokenizing', done: 1, total: 4, rows: 1, tokens: 30, seconds: 2, remaining: 6 }
  t.same(heard.splice(0), [first], 'three quarters are left')
  clock += Slices.reports - 1
  slices.report(2, 4, 2, 60)
  t.same(heard, [], 'not before the next is due')
  slices.report(4, 4, 4, 120, true)
  t.match(heard.splice(0), [{ done: 4, tokens: 120, remaining: 0 }], 'the end is told once anything was')
  for (const [done, total] of [
    [0, 4],
    [5, null],
    [5, 4],
  ] as const) {
    clock += Slices.reports
    slices.report(done, total, done, 0)
  }
  t.same(
    heard.map(({ remaining }) => remaining),
    [null, null, 0],
    'no telling before anything is done, or without a total; never less than nothing',
  )
})

t.test('a slice ends after its time, and an abort between slices', async (t) => {
  const controller = new AbortController()
  const slices = new Slices('reading', controller.signal, undefined)
  clock += Slices.length - 1
  t.notOk(slices.due)
  clock += 1
  t.ok(slices.due)
  await slices.breathe()
  t.notOk(slices.due, 'a new slice has begun')
  const reason = new Error('enough')
  controller.abort(reason)
  await t.rejects(slices.breathe(), reason)
  t.throws(() => new Slices('reading', controller.signal, undefined), reason)
})

t.test('done counts bytes over all files, up to their sum', async (t) => {
  const lines = Array.from({ length: 30_000 }, (_, i) => `{"text":"row ${i} ${'x'.repeat(i % 40)}"}\n`).join('')
  const contents: [name: string, content: string | Buffer][] = [
    ['a.jsonl', lines],
    ['b.csv', `text\n${'words of a row\n'.repeat(1000)}`],
    ['c.jsonl', `\ufeff${lines}`],
    ['d.jsonl.gz', gzipSync(lines)],
  ]
  const paths: string[] = []
  let total = 0
  for (const [name, content] of contents) {
    paths.push(join(folder, name))
    await writeFile(paths.at(-1)!, content)
    total += Buffer.byteLength(content)
  }
  for (const [i, path] of paths.entries()) {
    let last = 0
    for await (const { done } of readRows([path], { wanted: [], onBlank: () => {} })) last = done
    t.equal(last, Buffer.byteLength(contents[i]![1]), contents[i]![0])
  }
  let before = 0
  let batches = 0
  for await (const batch of readRows(paths, { wanted: [], onBlank: () => {} })) {
    t.equal(batch.total, total)
    if (!(batch.done >= before && batch.done <= total)) t.fail(`${batch.done} after ${before}`)
    before = batch.done
    batches++
  }
  t.equal(before, total)
  t.ok(batches > 4, `canary: ${batches} pieces, so that it is told between them`)
  const rows = [{ text: 'a' }, { text: 'b' }]
  const told: unknown[] = []
  for await (const { done, total } of readRows(rows, { wanted: [], onBlank: () => {} })) told.push([done, total])
  for await (const { done, total } of readRows(new Set(rows), { wanted: [], onBlank: () => {} }))
    told.push([done, total])
  t.same(told, [
    [1, 2],
    [2, 2],
    [1, null],
    [2, null],
  ])
})
