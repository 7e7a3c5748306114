import { parentPort, workerData } from 'node:worker_threads'
import { loadDataset, loadModel, train } from 'fedlora'

try {
  const model = await loadModel(workerData.model, { quantization: 'nf4' })
  const adapter = model.createAdapter({ rank: 8 })
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `${i} + 1 =`, completion: ` ${i + 1}` }))
  const data = await loadDataset(rows, { format: 'prompt-completion', tokenizer: model })
  const run = train(adapter, data, { maxSteps: workerData.steps, batchSize: 4, learningRate: 1e-3 })
  for await (const event of run) parentPort.postMessage(event)
  const { steps, loss } = await run
  parentPort.postMessage({ type: 'result', steps, loss })
  adapter.dispose()
  model.dispose()
} catch (error) {
  parentPort.postMessage({ type: 'failed', error: error.toJSON?.() ?? { message: String(error) } })
}
