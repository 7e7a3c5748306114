// What try-platforms.mjs has each platform's Node do with the installed package: steps of training, a run that is stopped and resumed, a round of
// the demo's federation, small enough for an emulator. One line of JSON comes out. Copied into a consumer's folder and run there.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadDataset, loadModel, train } from 'fedlora'
import { simulate } from 'fedlora/federated'

const assets = join(dirname(fileURLToPath(import.meta.resolve('fedlora/package.json'))), 'assets')
const model = await loadModel(join(assets, 'gsm-3m-nf4'), { quantization: 'nf4', compute: 'bf16', threads: 2 })
const lines = readFileSync(join(assets, 'gsm8k', 'train.jsonl'), 'utf8').split('\n', 14)
const rows = lines.map((line) => ({ text: JSON.parse(line).question }))
const data = await loadDataset(rows, { format: 'text', tokenizer: model, maxLength: 48, overlong: 'truncate' })

const adapter = () => model.createAdapter({ rank: 8, alpha: 16, targetModules: 'all-linear', dropout: 0.1, seed: 3 })
const training = { maxSteps: 3, batchSize: 2, learningRate: 5e-3, seed: 1, checkpointEvery: 1 }
const bytes = (/** @type {import('fedlora').Adapter} */ one) => Buffer.from(one.vector().buffer)

/** @type {number[]} */
const losses = []
const whole = adapter()
const run = train(whole, data, { ...training, outputDir: 'whole' })
for await (const event of run) if (event.type === 'step') losses.push(event.loss)

const stopped = adapter()
const stop = new AbortController()
const first = train(stopped, data, { ...training, outputDir: 'stopped', signal: stop.signal })
try {
  for await (const event of first) if (event.type === 'step' && event.step === 2) stop.abort()
} catch (error) {
  if (!(error instanceof Error) || error.name !== 'AbortError') throw error
}
const resumed = adapter()
await train(resumed, data, { ...training, resumeFrom: 'stopped' })

const names = ['add', 'multiply', 'divide']
const federation = await simulate({
  model,
  adapter: { rank: 8, alpha: 16, targetModules: 'all-linear', seed: 3 },
  clients: names.map((name, i) => ({ name, train: data.subset([4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3]) })),
  rounds: 1,
  local: { steps: 1, batchSize: 4, learningRate: 5e-3 },
  upload: { codec: 'int4', errorFeedback: true },
  seed: 1,
  evaluate: { data: data.subset([12, 13]) },
  outputDir: 'federation',
})
console.log(
  JSON.stringify({
    losses,
    resumes: bytes(resumed).equals(bytes(whole)),
    heldOut: federation.evaluation?.loss,
    bytesUp: federation.bytesUp,
  }),
)
