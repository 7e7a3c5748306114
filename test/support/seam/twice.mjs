/** The addon opened twice in one process: the same file without the cache of `require`, and a copy of it; then in three workers at once. */

import { once } from 'node:events'
import { copyFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { loadModel } from '../../../dist/index.js'
import { folder, longRun } from './work.mjs'

const require = createRequire(import.meta.url)
const path = require('node-gyp-build').resolve(fileURLToPath(new URL('../../../', import.meta.url)))
const copy = join(process.argv[2], 'copy.node')
copyFileSync(path, copy)
const first = require(path)
delete require.cache[require.resolve(path)]
const second = require(path)
const third = require(copy)
const update = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i))
const encoded = [first, second, third].map((addon) => {
  const { bytes } = addon.encodeUpdate(update, null, { codec: 'int8', density: 1, bits: 8, seed: 3 })
  const sums = addon.createAggregator(1000)
  sums.add(bytes, 1)
  return Buffer.from(sums.mean().buffer).toString('base64')
})
// An adapter of one copy is nothing to another.
const { config, options, files } = /** @type {any} */ (await loadModel(folder))
const model = await first.loadModel({ ...options, files: [...files], description: config.description })
const layers = [{ module: 'model.layers.0.self_attn.q_proj', rank: 2, scaling: 1, dropout: 0 }]
const request = { files: [], output: 'x', adapter: model.createAdapter(layers, 1), threads: 1 }
const foreign = [first, third].map((addon) => {
  try {
    addon.mergeCheckpoint(request).catch(() => {}) // no files, but that is found out later
    return 'ours'
  } catch (error) {
    const { code, message } = /** @type {any} */ (error)
    return `${code} ${message}`
  }
})

const workers = ['sum', 'sum', 'leave'].map(
  (mode) => new Worker(new URL('worker.mjs', import.meta.url), { workerData: { mode } }),
)
const exits = workers.map((worker) => once(worker, 'exit'))
const sums = await Promise.all(workers.map((worker) => once(worker, 'message')))
const { adapter } = await longRun(() => {}, { maxSteps: 3, batchSize: 4 })
const bits = [...sums.map(([values]) => values), adapter.vector()].map((values) =>
  Buffer.from(values.buffer).toString('base64'),
)
const codes = (await Promise.all(exits)).map(([code]) => code)
console.log(
  JSON.stringify({
    encoded: new Set(encoded).size,
    bits: new Set(bits).size,
    distinct: first !== second || first === third,
    codes,
    foreign,
  }),
)
