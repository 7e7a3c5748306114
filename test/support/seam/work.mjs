/** Work of known length for the programs of this folder: steps that take a while, over the small model of the demo. */
import { fileURLToPath } from 'node:url'
import { loadDataset, loadModel, train } from '../../../dist/index.js'

export const folder = fileURLToPath(new URL('../../../assets/gsm-3m', import.meta.url))

/** Rows of 60 tokens. */
export async function rows(count) {
  const list = Array.from({ length: count }, (_, row) => {
    const input_ids = Array.from({ length: 60 }, (_, i) => 5 + ((row * 17 + i * 7) % 900))
    return { input_ids, labels: input_ids }
  })
  return await loadDataset(list, { format: 'tokens' })
}

/**
 * A run whose steps take some tenths of a second; `onStep` is called after each.
 * @param {(step: number, of: object) => unknown} onStep
 * @param {import('../../../dist/index.js').TrainOptions & { threads?: number }} options
 */
export async function longRun(onStep, { batchSize = 24, threads = 1, ...options } = {}) {
  const model = await loadModel(folder, { quantization: 'nf4', compute: 'bf16', threads })
  const adapter = model.createAdapter({ rank: 4, seed: 1 })
  const run = train(adapter, await rows(48), { maxSteps: 100000, batchSize, ...options })
  for await (const event of run) if (event.type === 'step') await onStep(event.step, { model, adapter, run })
  return { model, adapter, run }
}
