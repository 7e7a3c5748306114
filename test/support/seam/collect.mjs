/**
 * Objects made and dropped, never disposed: node --expose-gc collect.mjs. Prints the resident memory and the threads of the process
 * after the first rounds and after many more.
 */
import { readdirSync } from 'node:fs'
import { createAggregator, encodeUpdate, loadModel, train } from '../../../dist/index.js'
import { native } from '../../../dist/native/load.js'
import { folder, rows } from './work.mjs'

const model = await loadModel(folder, { quantization: 'int8', threads: 1 })
const data = await rows(4)

async function round() {
  const dropped = await loadModel(folder, { quantization: 'nf4', threads: 1 })
  const adapter = dropped.createAdapter({ rank: 16 })
  await adapter.gradients({ inputIds: [[5, 6, 7]], labels: [[5, 6, 7]] })
  const shared = model.createAdapter({ rank: 16 })
  await train(shared, data, { maxSteps: 1, batchSize: 1 })
  for await (const _ of model.generateTokens([5, 6, 7], { maxTokens: 20, adapter: shared, endTokens: [] })) break
  await loadModel('/nowhere').catch(() => {})
  await native()
    .loadModel({ ...load, files: ['/nowhere'] })
    .then(
      () => {
        throw new Error('a model of no file was loaded')
      },
      () => {},
    )
  const sums = createAggregator(100_000)
  sums.add(encodeUpdate(new Float32Array(100_000).fill(0.5), { codec: 'int8' }).bytes)
  sums.mean()
  native()
    .openCheckpoint([`${folder}/model.safetensors`])
    .tensors()
}

/** @type {Omit<import('../../../dist/native/binding.js').LoadOptions, 'files'>} */
const load = {
  description: model.config.description,
  quantization: 'none',
  doubleQuantization: false,
  blockSize: 64,
  compute: 'f32',
  threads: 1,
}
const breathe = () => new Promise((resolve) => setImmediate(resolve))

async function measure(rounds) {
  for (let i = 0; i < rounds; i++) {
    await round()
    for (let k = 0; k < 3; k++) {
      globalThis.gc?.()
      await breathe()
    }
  }
  return { bytes: native().processMemory().residentBytes, threads: readdirSync('/proc/self/task').length }
}
const before = await measure(8)
const after = await measure(40)
console.log(JSON.stringify({ before, after }))
