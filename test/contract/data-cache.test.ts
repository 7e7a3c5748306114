/** Processes that share a cache: one that is killed while it writes, two at once; and what a process holds of many rows. */
import { createHash } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import { runProgram } from '../support/programs.js'

interface Result {
  rows: number
  digest: string
  bytesPerRow: number
  warnings: string[]
}

const folder = t.testdir()
const file = join(folder, 'rows.jsonl')
const rows = 9000
const filler = Array.from({ length: 220 }, (_, i) => `${i * 7919}`).join(' ')
await writeFile(file, Array.from({ length: rows }, (_, i) => `{"text":"${i} ${filler}"}\n`).join(''))

/** What {@link runProgram} prints, worked out here without a cache. */
async function expectedDigest(): Promise<string> {
  const tokenizer = await loadTokenizer(new URL('../../assets/gsm-3m', import.meta.url).pathname)
  const data = await loadDataset(file, { format: 'text', maxLength: 4096, tokenizer, cache: false })
  const hash = createHash('sha256')
  for (let row = 0; row < data.length; row += 97) hash.update(data.sample(row).inputIds)
  return hash.digest('hex')
}
const expected = await expectedDigest()

const run = (cache: string, onOutput?: Parameters<typeof runProgram>[2]) =>
  runProgram('data/prepare.mjs', [file, cache], onOutput)
const resultOf = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1)!) as Result
const names = (cache: string) => readdir(join(cache, 'tokens'))

t.test('two processes at once, then one that reads what they left', async (t) => {
  const cache = join(folder, 'shared')
  const both = await Promise.all([run(cache), run(cache)])
  for (const { stdout, code } of both) {
    t.equal(code, 0)
    t.match(resultOf(stdout), { rows, digest: expected, warnings: [] })
  }
  t.match(await names(cache), [/^[0-9a-f]{64}\.tokens$/])
  t.equal((await names(cache)).length, 1, 'nothing is left beside it')
  const { stdout } = await run(cache)
  t.match(resultOf(stdout), { digest: expected, warnings: [] })
  t.notMatch(stdout, /progress/, 'no row is tokenised again')
  // Objects of such rows take 1.3 kB and more each, their ids another 4 kB.
  t.ok(resultOf(stdout).bytesPerRow < 400, `${resultOf(stdout).bytesPerRow} bytes a row`)
})

t.test('a process that is killed while it writes harms no later one', async (t) => {
  const cache = join(folder, 'killed')
  let began = false
  const killed = await run(cache, {
    onOutput: (text, child) => {
      if (began || !text.includes('progress')) return
      began = true
      // Time for pages to be on their way to the disk; whenever it dies, the law is the same.
      setTimeout(() => child.kill('SIGKILL'), 300)
    },
  })
  t.ok(began, 'it was at work')
  const { stdout, code } = await run(cache)
  t.equal(code, 0)
  t.match(resultOf(stdout), { digest: expected, warnings: [] })
  t.equal((await names(cache)).length, 1, 'what the killed one left is gone')
  t.not(killed.signal, null, 'canary: it did not end by itself')
})
