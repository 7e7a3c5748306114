/** A worker thread. `train`: steps until it is terminated. `sum`: loads, trains three steps, posts the bits of the adapter. */
import { parentPort, workerData } from 'node:worker_threads'
import { longRun } from './work.mjs'

if (workerData.mode === 'train') await longRun((step) => parentPort?.postMessage(step))
else {
  const { adapter, model } = await longRun(() => {}, { maxSteps: 3, batchSize: 4 })
  parentPort?.postMessage(adapter.vector())
  adapter.dispose()
  if (workerData.mode === 'sum') model.dispose() // else the model is left to the end of the thread
}
