#!/usr/bin/env node
// Rows from a file to ids: a million rows of the demo's kind are written, read, tokenised, and read back from the cache.
//   node bench/micro/rows.mjs [--rows 1000000] [--kind jsonl | csv | jsonl.gz | FILE] [--tokenizer FOLDER]
// Prints, for each phase, seconds, MB/s of text, and the resident memory (MiB) of the whole process by then. Roof of the first: reading the bytes alone.
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createGzip } from 'node:zlib'
import { loadDataset, loadTokenizer } from '../../dist/index.js'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    kind: { type: 'string', default: 'jsonl' },
    tokenizer: { type: 'string', default: fileURLToPath(new URL('../../assets/gsm-3m', import.meta.url)) },
  },
})
const count = Number(values.rows)
const folder = await mkdtemp(join(tmpdir(), 'fedlora-rows-'))
const path = join(folder, `rows.${values.kind}`)

/** A row of about 500 characters; no two are alike. @param {number} i */
function row(i) {
  const loaves = (i * 7919) % 9973
  const question =
    `Baker ${i} sells ${loaves} loaves on Monday and half as many on Tuesday, at ${i % 9} dollars a loaf. `.repeat(3)
  const answer = `On Tuesday she sells ${loaves} / 2 = ${loaves / 2}. In all that is ${loaves} + ${loaves / 2}.\n#### ${1.5 * loaves}`
  return { question: `${question}How many does she sell in both days together?`, answer }
}

function* text() {
  if (values.kind === 'csv') yield 'question,answer\n'
  for (let from = 0; from < count; from += 1000) {
    const rows = Array.from({ length: Math.min(1000, count - from) }, (_, i) => row(from + i))
    const cell = (/** @type {string} */ value) => `"${value}"`
    const line = (/** @type {ReturnType<typeof row>} */ { question, answer }) =>
      values.kind === 'csv' ? `${cell(question)},${cell(answer)}` : JSON.stringify({ question, answer })
    yield `${rows.map(line).join('\n')}\n`
  }
}

const out = createWriteStream(path)
if (values.kind.endsWith('.gz')) await pipeline(Readable.from(text()), createGzip({ level: 1 }), out)
else await pipeline(Readable.from(text()), out)
const { size } = await stat(path)
console.log(`${count} rows, ${(size / 1e6).toFixed(0)} MB as .${values.kind}`)

const peak = () => process.resourceUsage().maxRSS / 1024
/** @param {string} name @param {() => Promise<unknown>} work */
async function timed(name, work) {
  const cpu = process.cpuUsage()
  const before = performance.now()
  await work()
  const seconds = (performance.now() - before) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const pace = (size / 1e6 / seconds).toFixed(1)
  console.log(
    `${name.padEnd(22)} ${seconds.toFixed(1).padStart(7)} s  ${pace.padStart(7)} MB/s  ${((user + system) / 1e6).toFixed(1).padStart(6)} s CPU  ${peak().toFixed(0).padStart(5)} MiB`,
  )
}

const tokenizer = await loadTokenizer(values.tokenizer)
const options = /** @type {const} */ ({ format: 'gsm8k', cacheDir: join(folder, 'cache') })
try {
  await timed('its bytes alone', async () => {
    for await (const _ of createReadStream(path)) void _
  })
  let told = 0
  const data = { of: /** @type {Awaited<ReturnType<typeof loadDataset>> | undefined} */ (undefined) }
  await timed('read and checked', async () => {
    data.of = await loadDataset(path, { ...options, tokenizer, onProgress: () => told++ })
  })
  await timed('tokenised', async () => {
    await data.of?.prepare({ onProgress: () => told++ })
  })
  data.of = undefined
  await timed('read, ids from cache', async () => {
    const again = await loadDataset(path, { ...options, tokenizer })
    await again.prepare()
  })
  console.log(`${told} reports of progress`)
} finally {
  await rm(folder, { recursive: true, force: true })
}
