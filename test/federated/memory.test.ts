/** Memory does not grow with rounds, nor with the number of clients that a federation knows. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { simulate, split } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { native } from '../../src/native/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../support/train.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

interface Sample {
  heap: number
  resident: number
}

/** Twice: a collection frees array buffers while the program goes on, and the next one waits until the last has finished that. */
async function sample(): Promise<Sample> {
  collect()
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return { heap: heapUsed + arrayBuffers, resident: native().processMemory().residentBytes }
}

/** Growth from the early to the late samples, by their medians: a single late collection does not count. */
function growth(samples: Sample[], kind: keyof Sample): number {
  const third = Math.floor(samples.length / 3)
  const median = (part: Sample[]) => part.map((one) => one[kind]).sort((a, b) => a - b)[part.length >> 1]!
  return median(samples.slice(-third)) - median(samples.slice(third, 2 * third))
}

const bound = { heap: 1 * 2 ** 20, resident: 8 * 2 ** 20 }

t.test('fifty rounds, sixty clients with residuals', async (t) => {
  using model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
  const root = temporaryFolder('federation-memory')
  t.teardown(() => rmSync(root, { recursive: true }))
  const clients = split(await tokenRows(240, 263), { by: 'iid', clients: 60, seed: 1 })
  const run = simulate({
    model,
    adapter: { rank: 8, seed: 2 },
    clients,
    rounds: 50,
    cohort: 3,
    local: { steps: 1, batchSize: 2, learningRate: 1e-3 },
    upload: { codec: 'int4' },
    serverOptimizer: 'adam',
    outputDir: join(root, 'run'),
  })
  const samples: Sample[] = []
  for await (const event of run) if (event.type === 'round') samples.push(await sample())
  using adapter = (await run).adapter
  t.equal(samples.length, 50)
  for (const kind of ['heap', 'resident'] as const) {
    const grown = growth(samples, kind)
    t.ok(grown <= bound[kind], `${kind} grew by ${grown} bytes over the last rounds`)
  }
  // What 60 residuals would hold if they stayed in memory is far above the bound.
  t.ok(60 * adapter.length * 4 > 4 * bound.heap)
})

t.test('fifty rounds, two hundred clients with parts of their own, measured in between', async (t) => {
  using model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
  const root = temporaryFolder('federation-memory')
  t.teardown(() => rmSync(root, { recursive: true }))
  const rows = await tokenRows(600, 263)
  const test = await tokenRows(1, 263, 9)
  const clients = Array.from({ length: 200 }, (_, i) => ({
    name: `client-${i}`,
    train: rows.subset([3 * i, 3 * i + 1, 3 * i + 2]),
    test,
  }))
  const run = simulate({
    model,
    adapter: { rank: 8, seed: 2 },
    clients,
    rounds: 50,
    cohort: 8,
    algorithm: 'fedsa',
    local: { steps: 1, batchSize: 2, learningRate: 1e-3 },
    // The first two measurings, after which their memory has its size, lie before the rounds that are compared.
    evaluate: { of: 'personal', every: 8 },
    outputDir: join(root, 'run'),
  })
  const samples: Sample[] = []
  let measured = 0
  for await (const event of run) {
    if (event.type === 'round') samples.push(await sample())
    if (event.type === 'evaluation') measured += event.clients!.each.length
  }
  using adapter = (await run).adapter
  t.equal(measured, 7 * 200)
  for (const kind of ['heap', 'resident'] as const) {
    const grown = growth(samples, kind)
    t.ok(grown <= bound[kind], `${kind} grew by ${grown} bytes over the last rounds`)
  }
  t.ok(200 * adapter.length * 4 > 8 * bound.heap)
})

t.test('canary: a run that keeps something of every round is seen', async (t) => {
  const kept: Float64Array[] = []
  const samples: Sample[] = []
  for (let round = 0; round < 50; round++) {
    kept.push(new Float64Array(16384).fill(round))
    samples.push(await sample())
  }
  t.notOk(growth(samples, 'heap') <= bound.heap, `${kept.length} vectors are kept`)
})
