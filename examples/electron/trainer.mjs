// The utility process: `process.parentPort` is Electron's.
import { loadDataset, loadModel, train } from 'fedlora'

process.parentPort.once('message', async ({ data: { model: folder, steps } }) => {
  const model = await loadModel(folder, { quantization: 'nf4' })
  const adapter = model.createAdapter({ rank: 8 })
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `${i} + 1 =`, completion: ` ${i + 1}` }))
  const data = await loadDataset(rows, { format: 'prompt-completion', tokenizer: model })
  const run = train(adapter, data, { maxSteps: steps, batchSize: 4, learningRate: 1e-3 })
  for await (const event of run) process.parentPort.postMessage(event)
  process.parentPort.postMessage({ type: 'result', ...(await run) })
})
