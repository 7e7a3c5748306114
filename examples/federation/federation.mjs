// Three organisations with rows of their own improve one adapter together; only compressed updates leave them.
import { loadDataset, loadModel } from 'fedlora'
import { simulate } from 'fedlora/federated'

const model = await loadModel(process.env.MODEL ?? 'model', { quantization: 'nf4' })

/** Rows that only this organisation has. */
const rowsOf = (word, operate) =>
  Array.from({ length: 24 }, (_, i) => ({
    question: `What is ${i} ${word} 3?`,
    answer: `${i} ${word} 3 = ${operate(i, 3)}\n#### ${operate(i, 3)}`,
  }))
const organisations = { plus: (a, b) => a + b, times: (a, b) => a * b, minus: (a, b) => a - b }
const clients = await Promise.all(
  Object.entries(organisations).map(async ([name, operate]) => ({
    name,
    train: await loadDataset(rowsOf(name, operate), { format: 'gsm8k', tokenizer: model }),
  })),
)

const run = simulate({
  model,
  adapter: { rank: 8 },
  clients,
  rounds: 3,
  local: { steps: Number(process.env.STEPS ?? 20), batchSize: 4, learningRate: 2e-3 },
  upload: { codec: 'topk', density: 1 / 16, bits: 4 },
})
for await (const event of run) {
  if (event.type === 'round')
    console.log(`round ${event.round}: loss ${event.loss.toFixed(4)}, ${event.bytesUp} bytes up`)
}
const { adapter } = await run
await adapter.save('federated-adapter')
adapter.dispose()
model.dispose()
