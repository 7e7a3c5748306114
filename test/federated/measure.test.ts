/** Whose adapter was measured, on which rows: every figure again by other means. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import { evaluate } from '../../src/evaluation/evaluate.js'
import type { FederationEvaluationEvent, FederationEvent } from '../../src/federated/events.js'
import { type SimulateOptions, simulate, split } from '../../src/federated/index.js'
import { cohortOf } from '../../src/federated/protocol/plan.js'
import { deriveSeed, streamOf } from '../../src/federated/protocol/random.js'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { lora, type Variation } from './support/federation.js'
import { keeper } from './support/keeper.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('measure')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

/** No token of these is learnt. */
const silent = await loadDataset([{ input_ids: [5, 6, 7], labels: [-100, -100, -100] }], { format: 'tokens' })
const names = ['a', 'b', 'c', 'd']
const clients = await Promise.all(
  names.map(async (name, i) => ({
    name,
    train: await tokenRows(4 + i, 263, 17 * i),
    test: await tokenRows(1 + 2 * i, 263, 90 + i),
  })),
)
const seed = 3
const base = { model, adapter: lora, clients, rounds: 2, cohort: { clients: 2 }, seed } as const
const local = { steps: 2, batchSize: 2, learningRate: 1e-2 }

async function told(variation: Variation & Partial<SimulateOptions>) {
  const events: FederationEvent[] = []
  const run = simulate({ ...base, local, ...variation })
  for await (const event of run) events.push(event)
  const { adapter, ...result } = await run
  const vector = adapter.vector()
  adapter.dispose()
  const evaluations = events.filter((event): event is FederationEvaluationEvent => event.type === 'evaluation')
  return { events, evaluations, result, vector }
}

const everybody = [...new Set([1, 2].flatMap((round) => cohortOf(4, { clients: 2 }, seed, round)))].sort()
t.ok(everybody.length < 4, 'somebody never takes part')

t.test('the global adapter on the rows of each: losses, and what is summed over clients and over tokens', async (t) => {
  const data = await tokenRows(4, 263, 9)
  const { evaluations, result, vector } = await told({ evaluate: { data, of: 'global' } })
  t.equal(evaluations.length, 2)
  const [nobodys, measured] = evaluations
  t.match(nobodys, { of: 'global', clients: undefined, round: 2 })
  t.match(measured, { of: 'global', round: 2 })
  using adapter = model.createAdapter(lora)
  adapter.setVector(vector)
  t.match(nobodys, await evaluate(adapter, data))
  const each = []
  const rows = []
  for (const [client, { name, test }] of clients.entries()) {
    const { loss, tokenAccuracy, tokens } = await evaluate(adapter, test)
    each.push({ client, name, tookPart: everybody.includes(client), loss, tokenAccuracy, tokens })
    for (let row = 0; row < test.length; row++) {
      const { inputIds, labels } = test.sample(row)
      rows.push({ input_ids: [...inputIds], labels: [...labels] })
    }
  }
  t.same(measured!.clients!.each, each)
  const losses = each.map(({ loss }) => loss).sort((a, b) => a - b)
  t.match(measured!.clients, { unmeasured: [], fineTuneSteps: 0, bestDecile: losses[0], worstDecile: losses[3] })
  const together = await evaluate(adapter, await loadDataset(rows, { format: 'tokens' }))
  t.equal(measured!.tokens, together.tokens)
  t.ok(Math.abs(measured!.loss - together.loss) < 1e-6, 'all tokens count the same')
  t.ok(Math.abs(measured!.tokenAccuracy - together.tokenAccuracy) < 1e-12)
  t.notOk(Math.abs(measured!.clients!.mean - together.loss) < 1e-6, 'canary: the mean over clients is another')
  t.same(result.evaluation, { ...(await evaluate(adapter, data)) })
  const { type: _, round: __, ...event } = measured!
  t.same(result.clientEvaluations, [event])
})

t.test('each by its own: what lies in its folder; who has none, by the global one', async (t) => {
  const folder = join(root, 'own')
  const { evaluations } = await told({ algorithm: keeper, evaluate: { of: 'both', every: 1 }, outputDir: folder })
  t.same(
    evaluations.map(({ of, round }) => [of, round]),
    [
      ['global', 1],
      ['personal', 1],
      ['global', 2],
      ['personal', 2],
    ],
  )
  const [global, personal] = evaluations.slice(2).map((event) => event.clients!.each)
  t.same(
    readdirSync(join(folder, 'clients')),
    everybody.map((client) => names[client]),
  )
  for (const [client, { name, test }] of clients.entries()) {
    const place = join(folder, 'clients', name, 'adapter')
    t.equal(existsSync(place), everybody.includes(client), `${name} has an adapter of its own`)
    using adapter = await model.loadAdapter(existsSync(place) ? place : join(folder, 'adapter'))
    t.equal(personal![client]!.loss, (await evaluate(adapter, test)).loss, name)
    t.equal(personal![client]!.tookPart, everybody.includes(client))
    t.equal(personal![client]!.loss === global![client]!.loss, !everybody.includes(client))
  }
  const kept = (name: string) => readFileSync(join(folder, 'clients', name, 'adapter', 'adapter_model.safetensors'))
  t.notOk(kept(names[everybody[0]!]!).equals(kept(names[everybody[1]!]!)), 'canary: each another')
})

t.test(
  'an algorithm without adapters of their own serves the global one, and leaves no folder for clients',
  async (t) => {
    const folder = join(root, 'none')
    const { evaluations } = await told({ evaluate: { of: 'both' }, outputDir: folder })
    const [global, personal] = evaluations.map(({ of: _, ...event }) => event)
    t.same(personal, global)
    t.notOk(existsSync(join(folder, 'clients')))
  },
)

t.test('fine-tuned first: what train() gives from what serves the client; nothing of it is kept', async (t) => {
  const fineTune = { steps: 3, learningRate: 2e-2 }
  const plain = await told({ algorithm: keeper, evaluate: { of: 'personal' }, outputDir: join(root, 'plain') })
  const tuned = await told({
    algorithm: keeper,
    evaluate: { of: 'personal', fineTune, every: 1 },
    outputDir: join(root, 'tuned'),
  })
  t.ok(bytesOf(plain.vector).equals(bytesOf(tuned.vector)), 'the federation goes on as without')
  for (const client of everybody) {
    const file = (run: string) =>
      readFileSync(join(root, run, 'clients', names[client]!, 'adapter', 'adapter_model.safetensors'))
    t.ok(file('plain').equals(file('tuned')))
  }
  const last = tuned.evaluations.at(-1)!
  t.equal(last.clients!.fineTuneSteps, 3)
  for (const [client, { name, train: rows, test }] of clients.entries()) {
    const place = join(root, 'plain', everybody.includes(client) ? `clients/${name}/adapter` : 'adapter')
    using adapter = await model.loadAdapter(place)
    const { steps: maxSteps, learningRate } = fineTune
    const order = deriveSeed(seed, 'training', 3, streamOf(JSON.stringify([name, 'fine-tune'])))
    const { batchSize } = local
    await train(adapter, rows, { maxSteps, learningRate, batchSize, seed: order, schedule: 'constant' })
    t.equal(last.clients!.each[client]!.loss, (await evaluate(adapter, test)).loss, name)
  }
  const byDefault = await told({ evaluate: { of: 'both', fineTune: { steps: 1 } } })
  const atPeak = await told({ evaluate: { of: 'personal', fineTune: { steps: 1, learningRate: local.learningRate } } })
  t.same(byDefault.evaluations[1], atPeak.evaluations[0])
  t.equal(byDefault.evaluations[0]!.clients!.fineTuneSteps, 0, 'the global adapter is not fine-tuned')
})

t.test('who has nothing to be measured by is named; a split’s test rows are there already', async (t) => {
  const [a, b, ...others] = clients
  const some = [{ name: 'z', train: a!.train }, { ...b!, test: silent }, ...others]
  const { evaluations } = await told({ clients: some, evaluate: { of: 'global' } })
  t.same(evaluations[0]!.clients!.unmeasured, [0, 1])
  t.same(
    evaluations[0]!.clients!.each.map(({ client, name }) => [client, name]),
    [
      [2, 'c'],
      [3, 'd'],
    ],
  )
  const parts = split(await tokenRows(24, 263), { by: 'iid', clients: 3, testFraction: 0.25, seed: 1 })
  const ofSplit = await told({ clients: parts, evaluate: { of: 'global' } })
  t.equal(ofSplit.evaluations[0]!.clients!.each.length, 3)
})

t.test('what cannot be measured is refused before anything is trained', async (t) => {
  const refused = async (evaluation: unknown, message: RegExp, options: Variation & Partial<SimulateOptions> = {}) => {
    await t.rejects(
      (async () => await told({ ...options, evaluate: evaluation as never }))(),
      { code: 'E_CONFIG', message },
      String(message),
    )
  }
  const without = clients.map(({ name, train: rows }) => ({ name, train: rows }))
  await refused({ of: 'personal' }, /evaluate\.of: 'personal' .*no client has any/, { clients: without })
  await refused({ of: 'both' }, /no client has any/, { clients: without.map((one) => ({ ...one, test: silent })) })
  await refused({}, /expected data, of, or both/)
  await refused({ of: 'global', fineTune: { steps: 1 } }, /fineTune is of the clients' own adapters/)
  await refused({ of: 'personal', fineTune: { steps: 0 } }, /fineTune\.steps/)
  await refused({ of: 'mine' }, /of: got "mine"/)
  await refused({ data: 'rows.jsonl' }, /data/)
  await refused({ of: 'both', evry: 3 }, /unknown key "evry" \(did you mean "every"/)
})
