/** Rows and the model's limits: positions and vocabulary, before the first step, with file and line. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import { evaluate } from '../../src/evaluation/evaluate.js'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import type { TrainEvent } from '../../src/training/events.js'
import { train } from '../../src/training/train.js'
import { fedlora } from '../support/command.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder } from '../support/train.js'

const model = await loadModel(goldenFolder('llama'), { threads: 1 })
t.teardown(() => model.dispose())
const positions = model.config.maxPositions
const root = temporaryFolder('row-length')

/** A file of rows of so many ids each. */
function file(name: string, lengths: number[], largest = 200): string {
  const path = join(root, name)
  const rows = lengths.map((length) => ({ input_ids: Array.from({ length }, (_, i) => 3 + (i % (largest - 2))) }))
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  return path
}

const long = file('long.jsonl', [9, 12, positions + 40, 10, 700, positions])

t.test('without a maxLength, rows are cut to the positions of the model', async (t) => {
  t.equal(positions, 256)
  const data = await loadDataset(long, { format: 'tokens' })
  t.equal(data.maxLength, 1024)
  using adapter = model.createAdapter({ rank: 4 })
  const result = await train(adapter, data, { epochs: 1, batchSize: 2 })
  t.match(result, { steps: 3, tokens: 9 + 12 + positions + 10 + positions + positions })
  using same = model.createAdapter({ rank: 4 })
  await train(same, await loadDataset(long, { format: 'tokens', maxLength: positions }), { epochs: 1, batchSize: 2 })
  t.ok(bytesOf(adapter.vector()).equals(bytesOf(same.vector())), 'as with that maxLength')
  t.equal((await evaluate(model, data)).tokens, result.supervisedTokens)
  const dropped = await loadDataset(long, { format: 'tokens', overlong: 'drop' })
  t.match(await train(adapter, dropped, { epochs: 1, batchSize: 1 }), { steps: 4 }, 'two rows are left out')
  const run = simulate({ model, clients: [data, dropped], rounds: 1, local: { epochs: 1, batchSize: 2 } })
  t.equal((await run).rounds, 1)
  t.equal(data.sample(2).inputIds.length, positions + 40, 'the data set itself is as it was')
})

t.test('a maxLength beyond the positions is refused before any work', async (t) => {
  const data = await loadDataset(long, { format: 'tokens', maxLength: positions + 1 })
  using adapter = model.createAdapter({ rank: 4 })
  const before = bytesOf(adapter.vector())
  const refused = { code: 'E_CONFIG', message: /maxLength: got 257, but the model has 256 positions/ }
  const events: TrainEvent[] = []
  await t.rejects(async () => {
    for await (const event of train(adapter, data, { maxSteps: 1 })) events.push(event)
  }, refused)
  t.match(events, [{ type: 'error', code: 'E_CONFIG', step: 0 }])
  await t.rejects(evaluate(model, data), refused)
  await t.rejects(async () => await simulate({ model, clients: [data], rounds: 1, local: { steps: 1 } }), refused)
  t.ok(before.equals(bytesOf(adapter.vector())))
  const words = ['train', '--model', model.path, '--data', long, '--format', 'tokens', '--data.maxLength', '257']
  t.match(await fedlora(words), { code: 2, stderr: refused.message })
  const cut = await fedlora([...words.slice(0, -2), '--train.maxSteps', '1'])
  t.match(cut, { code: 0, stderr: /2 rows are longer than 256 tokens/ }, 'canary: without it the run goes')
})

t.test('an id that the model does not have is named with file and line, before the first step', async (t) => {
  const path = file('foreign.jsonl', [9, 9, 9, 9], 263)
  writeFileSync(path, '{"input_ids":[5,6,7]}\n{"input_ids":[5,263,7]}\n{"input_ids":[5,6,7]}\n')
  const data = await loadDataset(path, { format: 'tokens' })
  using adapter = model.createAdapter({ rank: 4 })
  const refused = { code: 'E_ARGUMENT', message: /foreign\.jsonl, line 2: token id 263, but .* \(0 to 262\)/ }
  await t.rejects(train(adapter, data, { maxSteps: 1, batchSize: 1, shuffle: false }), refused)
  await t.rejects(evaluate(model, data), refused)
})

t.test('a row that teaches nothing is named with file and line', async (t) => {
  const path = join(root, 'bare.jsonl')
  writeFileSync(path, '{"input_ids":[5,6,7]}\n{"input_ids":[5,6,7],"labels":[-100,-100,-100]}\n')
  using adapter = model.createAdapter({ rank: 4 })
  const run = train(adapter, await loadDataset(path, { format: 'tokens' }), { epochs: 1, batchSize: 1 })
  const warnings: string[] = []
  for await (const event of run) if (event.type === 'warning') warnings.push(event.message)
  t.match(warnings[0], /bare\.jsonl, line 2 has no supervised token/)
})
