// An algorithm of one's own is a record: FedExP in twenty lines, beside FedAvg on the same clients.
import { loadDataset, loadModel } from 'fedlora'
import { combination, difference, dot, simulate } from 'fedlora/federated'

/** η = max(1, Σ ‖Δₖ‖² / (2·M·(‖mean Δ‖² + ε))), x ← x + η · mean Δ: the more the clients disagree, the further the server goes. */
const fedexp = {
  name: 'fedexp',
  about: 'a longer step of the server where the updates of clients point different ways',
  source: 'Jhunjhunwala, Wang, Joshi 2023, FedExP: speeding up federated averaging via extrapolation, algorithm 1',
  weighting: 'uniform',

  async work(kit) {
    const x = kit.given.adapter
    const trained = await kit.train({ from: x })
    const update = difference(trained.values, x)
    return { trained, vectors: { adapter: update }, numbers: { square: [dot(update, update)] } }
  },

  finish(closing) {
    const mean = closing.mean('adapter')
    const squares = closing.answers.reduce((sum, { numbers }) => sum + numbers.square[0], 0)
    const rate = Math.max(1, squares / (2 * closing.answers.length * (dot(mean, mean) + 1e-3)))
    closing.report('rate', rate)
    closing.step(combination([rate], [mean]))
  },
}

const model = await loadModel(process.env.MODEL ?? 'model', { quantization: 'nf4' })
const operations = { plus: (a, b) => a + b, times: (a, b) => a * b, minus: (a, b) => a - b }
const clients = await Promise.all(
  Object.entries(operations).map(async ([name, operate]) => {
    const rows = Array.from({ length: 24 }, (_, i) => ({
      question: `What is ${i} ${name} 3?`,
      answer: `${i} ${name} 3 = ${operate(i, 3)}\n#### ${operate(i, 3)}`,
    }))
    return { name, train: await loadDataset(rows, { format: 'gsm8k', tokenizer: model }) }
  }),
)
const local = { steps: Number(process.env.STEPS ?? 20), batchSize: 4, learningRate: 2e-3 }
for (const algorithm of ['fedavg', fedexp]) {
  const run = simulate({ model, adapter: { rank: 8 }, algorithm, clients, rounds: 3, local })
  for await (const event of run) {
    if (event.type !== 'round') continue
    const rate = event.measurements.rate ?? 1
    console.log(
      `${algorithm.name ?? algorithm}, round ${event.round}: loss ${event.loss.toFixed(4)}, rate ${rate.toFixed(2)}`,
    )
  }
  const { adapter } = await run
  adapter.dispose()
}
model.dispose()
