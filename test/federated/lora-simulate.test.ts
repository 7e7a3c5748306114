/** LoRA-aware federations over a real model: the error of every round, clients with ranks of their own, the residual in every place. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate } from '../../src/evaluation/evaluate.js'
import type { AlgorithmInput } from '../../src/federated/algorithms/index.js'
import { type FederationEvent, type RoundEvent, type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { lora } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())

const data = await Promise.all([0, 1, 2].map((i) => tokenRows(4 + 2 * i, 263, 17 * i)))
const clients = data.map((train, i) => ({ name: `client-${i}`, train }))
const mixed = clients.map((client, i) => ({ ...client, rank: 2 ** (i + 1) }))
const held = await tokenRows(4, 263, 9)

async function run(algorithm: AlgorithmInput, variation: Partial<SimulateOptions> = {}) {
  const events: FederationEvent[] = []
  const running = simulate({
    model,
    adapter: lora,
    algorithm,
    clients,
    rounds: 3,
    local: { steps: 2, batchSize: 2, learningRate: 2e-2 },
    seed: 5,
    ...variation,
  })
  for await (const event of running) events.push(event)
  const rounds = events.filter((event): event is RoundEvent => event.type === 'round')
  return { ...(await running), rounds, events }
}

for (const algorithm of ['ffa', 'rolora', 'flora', 'fedex', 'fedsvd', 'fedsb']) {
  t.test(`${algorithm}: the aggregation error is rounding, every round`, async (t) => {
    const { rounds, adapter } = await run(algorithm)
    using _ = adapter
    t.equal(rounds.length, 3)
    for (const { aggregationError } of rounds) t.ok(aggregationError! <= 1e-6, `${aggregationError}`)
  })
}

t.test('canary: FedIT’s is not, and rules of a rank miss something', async (t) => {
  for (const algorithm of ['fedit', 'flexlora', 'florana', 'scaffold']) {
    const { rounds, adapter } = await run(algorithm)
    using _ = adapter
    for (const { aggregationError } of rounds) t.notOk(aggregationError! <= 1e-4, `${algorithm}: ${aggregationError}`)
  }
})

t.test('clients of ranks 2, 4 and 8 from end to end', async (t) => {
  const algorithms: AlgorithmInput[] = ['flexlora', 'hetlora', 'raflora', 'flora', 'florana', 'fedex']
  for (const algorithm of [...algorithms, { name: 'fedavg', padding: 'zero' }] as AlgorithmInput[]) {
    const { rounds, adapter } = await run(algorithm, { clients: mixed, adapter: { ...lora, rank: 8 } })
    using _ = adapter
    t.equal(adapter.config.rank, 8)
    for (const round of rounds) {
      t.ok(Number.isFinite(round.aggregationError))
      const [two, four, eight] = round.clients.map(({ bytesUp }) => bytesUp)
      if (algorithm !== 'hetlora' || round.round === 1)
        t.ok(3 * two! < 2 * four! && 3 * four! < 2 * eight!, `${two} ${four} ${eight}`)
    }
  }
  await t.rejects(run('fedavg', { clients: mixed, adapter: { ...lora, rank: 8 } }), {
    code: 'E_CONFIG',
    message: /algorithm fedavg wants the ranks .* equal/,
  })
  await t.rejects(run({ name: 'fedavg', padding: 'zero' }, { clients: mixed, adapter: lora }), {
    code: 'E_CONFIG',
    message: /rank 8 is above/,
  })
})

t.test(
  'the residual is trained beside, evaluated, saved as one adapter of the summed rank, and given back',
  async (t) => {
    for (const algorithm of ['flora', 'fedex']) {
      const folder = temporaryFolder(algorithm)
      const options = {
        evaluate: { data: held, every: 1 },
        outputDir: folder,
        maxResidualRank: 6,
        baselines: ['global' as const],
      }
      const { adapter, evaluation, rounds, baselines, events } = await run(algorithm, options)
      using _ = adapter
      const most = Math.max(...adapter.residualRanks!)
      t.equal(most, 6)
      t.ok(rounds.at(-1)!.measurements.residualError! > 0, 'what was cut is told')
      const { loss } = await evaluate(adapter, held)
      t.equal(loss, evaluation!.loss, 'the adapter that is given back is the one that was evaluated')
      using saved = await model.loadAdapter(join(folder, 'adapter'))
      t.match(JSON.parse(readFileSync(join(folder, 'adapter', 'adapter_config.json'), 'utf8')), { r: lora.rank + 6 })
      const again = await evaluate(saved, held)
      // The same products in another order of sums.
      t.ok(Math.abs(again.loss - loss) <= 1e-4 * loss, `${again.loss}, ${loss}`)
      adapter.setResidual(null)
      t.notOk(
        Math.abs((await evaluate(adapter, held)).loss - loss) <= 1e-4 * loss,
        'canary: without the residual it is another',
      )
      const evaluations = events.flatMap((event) => (event.type === 'evaluation' ? [event.loss] : []))
      t.ok(evaluations.at(-1)! < evaluations[0]!, `it learns over rounds: ${evaluations}`)

      const plain = await run('fedit', { ...options, outputDir: temporaryFolder('plain') })
      using __ = plain.adapter
      t.equal(baselines[0]!.loss, plain.baselines[0]!.loss, 'a baseline knows no residual')
    }
  },
)

t.test('a federation that begins with a residual is refused, with the cure', async (t) => {
  const { adapter } = await run('fedex', { rounds: 2 })
  using _ = adapter
  t.ok(adapter.residualRanks)
  t.throws(() => simulate({ model, adapter, clients, rounds: 1, local: { steps: 1 } }), {
    code: 'E_ARGUMENT',
    message: /has a residual.*save it and load it again/,
  })
})

t.test('FFA leaves lora_A as it was drawn; RoLoRA trains it in even rounds only', async (t) => {
  using initial = model.createAdapter(lora)
  const parts = (vector: Float32Array, part: string) =>
    initial.layout
      .filter((entry) => entry.part === part)
      .map(({ offset, length }) => bytesOf(vector.slice(offset, offset + length)))
  const A = parts(initial.vector(), 'lora_A')
  for (const [algorithm, rounds, same] of [
    ['ffa', 3, true],
    ['rolora', 1, true],
    ['rolora', 2, false],
  ] as const) {
    const { adapter } = await run(algorithm, { rounds })
    using _ = adapter
    t.equal(
      parts(adapter.vector(), 'lora_A').every((part, i) => part.equals(A[i]!)),
      same,
      `${algorithm}, ${rounds} rounds`,
    )
  }
})

t.test('with lossy uploads each runs: what a message left out goes only where it belongs', async (t) => {
  const upload = { codec: 'int4' as const }
  for (const algorithm of ['rolora', 'ffa', 'flora', 'fedex', 'flexlora', 'fedsvd', { name: 'hetlora', gamma: 0.5 }]) {
    const { rounds, adapter } = await run(algorithm, { upload, rounds: 4 })
    using _ = adapter
    t.equal(rounds.length, 4)
    t.ok(rounds.at(-1)!.loss! < rounds[0]!.loss!, `${JSON.stringify(algorithm)} learns`)
    if (algorithm === 'rolora') t.ok(rounds[0]!.cosine! < 1 && rounds[0]!.aggregationError! <= 1e-6, 'of what arrived')
  }
  await t.rejects(run('flora', { upload: { ...upload, errorFeedback: true } }), {
    code: 'E_CONFIG',
    message: /upload\.errorFeedback excludes .* \(here flora\): .*leave upload\.errorFeedback out/,
  })
})

t.test(
  'Fed-SB: only cores travel; a fresh adapter learns, and one that is continued begins where it was',
  async (t) => {
    const { rounds, adapter } = await run('fedsb', { rounds: 4, local: { steps: 4, batchSize: 2, learningRate: 5e-2 } })
    using trained = adapter
    t.ok(rounds.at(-1)!.loss! < rounds[0]!.loss!, `${rounds.map(({ loss }) => loss)}`)
    const cores = 4 * trained.targets.length * lora.rank ** 2
    for (const { bytesUpRaw, bytesDownRaw } of rounds) t.same([bytesUpRaw, bytesDownRaw], [3 * cores, 3 * cores])
    const before = await evaluate(trained, held)
    const vector = trained.vector()
    const options = { adapter: trained, rounds: 1, local: { steps: 1, batchSize: 2, learningRate: 1e-9 } }
    const again = await run('fedsb', { ...options, evaluate: { data: held } })
    t.ok(Math.abs(again.evaluation!.loss - before.loss) <= 1e-5, `${again.evaluation!.loss}, ${before.loss}`)
    t.equal(vector.length, trained.length)
  },
)

t.test('HetLoRA’s λ shrinks the tails of the ranks', async (t) => {
  const tail = async (lambda: number) => {
    const { adapter } = await run({ name: 'hetlora', gamma: 0.5, lambda })
    using _ = adapter
    return [...adapter.tensors()]
      .filter(([name]) => name.includes('lora_A'))
      .reduce((sum, [, { data, shape }]) => {
        return (
          sum + data.subarray(data.length / 2).reduce((all, value) => all + value * value, 0) * Number(shape[0] === 4)
        )
      }, 0)
  }
  const [without, within] = [await tail(0), await tail(3)]
  t.ok(within < without, `${within}, ${without}`)
})
