/** A training run in a process of its own, to be killed: prints a line for each step, resumes when the folder holds a run. */
import { readdirSync } from 'node:fs'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from './golden-model.js'
import { tokenRows } from './train.js'

const folder = process.argv[2]!
const model = await loadModel(goldenFolder('qwen3'), { quantization: 'nf4', compute: 'bf16', threads: 1 })
const adapter = model.createAdapter({ rank: 4, dropout: 0.2, seed: 2 })
const begun = readdirSync(folder).includes('events.ndjson')
const run = train(adapter, await tokenRows(22, 263), {
  epochs: 1.9,
  batchSize: 2,
  gradientAccumulation: 2,
  learningRate: 1e-2,
  schedule: 'cosine',
  warmupRatio: 0.2,
  weightDecay: 0.01,
  seed: 4,
  checkpointEvery: 4,
  evaluate: { data: await tokenRows(4, 263, 9), every: 3 },
  ...(begun ? { resumeFrom: folder } : { outputDir: folder }),
})
for await (const event of run) if (event.type === 'step') process.stdout.write(`${event.step}\n`)
