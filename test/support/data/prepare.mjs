// Prepares the rows of a file (text) with a cache: node prepare.mjs FILE CACHE. Says "progress" while it tokenises, then one line of JSON: the
// digest of all ids, bytes held a row, warnings.
import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { loadDataset, loadTokenizer } from '../../../dist/index.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
async function held() {
  for (let k = 0; k < 3; ++k) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const [file, cacheDir] = process.argv.slice(2)
const tokenizer = await loadTokenizer(new URL('../../../assets/gsm-3m', import.meta.url).pathname)
tokenizer.encode('warm')
const before = await held()
const data = await loadDataset(file, { format: 'text', maxLength: 4096, tokenizer, cacheDir })
const warnings = []
let checked = false
await data.prepare({
  onProgress: ({ phase }) => {
    checked ||= phase === 'checking'
    if (phase === 'tokenizing') process.stdout.write('progress\n')
  },
  onWarning: (message) => warnings.push(message),
})
const bytes = (await held()) - before
const hash = createHash('sha256')
for (let row = 0; row < data.length; row += 97) hash.update(data.sample(row).inputIds)
const result = { rows: data.length, digest: hash.digest('hex'), bytesPerRow: bytes / data.length, warnings, checked }
process.stdout.write(`${JSON.stringify(result)}\n`)
