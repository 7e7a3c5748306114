// From CommonJS: require() gives the same module as import. Ctrl-C ends the run after a checkpoint.
const { isFedloraError, loadDataset, loadModel, train } = require('fedlora')

async function main() {
  const controller = new AbortController()
  process.once('SIGINT', () => controller.abort())

  const model = await loadModel(process.env.MODEL ?? 'model', { quantization: 'nf4' })
  const adapter = model.createAdapter({ rank: 8 })
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `${i} + 1 =`, completion: ` ${i + 1}` }))
  const data = await loadDataset(rows, { format: 'prompt-completion', tokenizer: model })
  const result = await train(adapter, data, {
    maxSteps: Number(process.env.STEPS ?? 20),
    batchSize: 4,
    learningRate: 1e-3,
    signal: controller.signal,
  })
  console.log(`${result.steps} steps, loss ${result.loss.toFixed(4)}`)
  adapter.dispose()
  model.dispose()
}

main().catch((error) => {
  console.error(isFedloraError(error) ? `${error.code}: ${error.message}` : error)
  process.exitCode = 1
})
