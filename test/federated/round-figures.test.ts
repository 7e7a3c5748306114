/** What a round reports, computed by hand from what each client gets alone: clients of unequal rows, one of them with nothing to learn. */
import t from 'tap'
import { encodeUpdate } from '../../src/compression/codec.js'
import type { Dataset } from '../../src/data/dataset.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import type { FederationEvent, RoundEvent } from '../../src/federated/events.js'
import { type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, tokenRows } from '../support/train.js'
import { lora } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())

const local = { steps: 3, batchSize: 2, learningRate: 1e-2, shuffle: false } as const
const bare = await loadDataset(
  [3, 4, 5, 6].map((i) => ({ input_ids: [1, i, 4], labels: [-100, -100, -100] })),
  { format: 'tokens' },
)

async function run(options: Partial<SimulateOptions> & { clients: Dataset[] }) {
  const events: FederationEvent[] = []
  const running = simulate({ model, adapter: lora, rounds: 1, local, ...options })
  for await (const event of running) events.push(event)
  const { adapter, ...result } = await running
  using trained = adapter
  const rounds = events.filter((event): event is RoundEvent => event.type === 'round')
  return { vector: trained.vector(), rounds, result }
}

/** Mean loss and update of a client that trains alone. */
async function alone(data: Dataset): Promise<{ loss: number; tokens: number; update: Float64Array }> {
  using adapter = model.createAdapter(lora)
  const start = adapter.vector()
  const { meanLoss, tokens } = await train(adapter, data, {
    maxSteps: local.steps,
    batchSize: local.batchSize,
    learningRate: local.learningRate,
    shuffle: false,
    schedule: 'constant',
  })
  return { loss: meanLoss, tokens, update: Float64Array.from(adapter.vector(), (value, i) => value - start[i]!) }
}

const clients = [await tokenRows(2, 263, 3), await tokenRows(7, 263, 40), await tokenRows(5, 263, 90)]

t.test('loss, tokens and norm of a round of unequal clients', async (t) => {
  const { rounds, result } = await run({ clients })
  const parts = await Promise.all(clients.map(alone))
  const rows = clients.map((client) => client.length)
  const all = rows.reduce((a, b) => a + b)
  const mean = (weights: number[]) =>
    parts.reduce((sum, part, i) => sum + (part.loss * weights[i]!) / weights.reduce((a, b) => a + b), 0)
  const [round] = rounds
  t.ok(Math.abs(round!.loss! - mean(rows)) <= 1e-12, 'mean over rows, in double')
  t.notOk(Math.abs(round!.loss! - mean([1, 1, 1])) <= 1e-6, 'canary: the plain mean of the clients is another number')
  t.equal(result.loss, round!.loss)
  t.equal(
    round!.tokens,
    parts.reduce((sum, part) => sum + part.tokens, 0),
  )
  let squares = 0
  for (let i = 0; i < parts[0]!.update.length; i++) {
    squares += parts.reduce((sum, part, k) => sum + (part.update[i]! * rows[k]!) / all, 0) ** 2
  }
  // Updates and their mean are float32: each element within 2^-24 of its own, so the norm is too, but for the sum of both.
  const bound = 2 ** -22
  t.ok(
    Math.abs(round!.updateNorm / Math.sqrt(squares) - 1) <= bound,
    `${round!.updateNorm}, by hand ${Math.sqrt(squares)}`,
  )
})

t.test('cosine, bytes and ratio of uploads that lose', async (t) => {
  const parts = await Promise.all(clients.map(alone))
  const rows = clients.map((client) => client.length)
  const all = rows.reduce((a, b) => a + b)
  const meant = parts[0]!.update.map((_, i) =>
    parts.reduce((sum, part, k) => sum + (part.update[i]! * rows[k]!) / all, 0),
  )
  using initial = model.createAdapter(lora)
  const start = initial.vector()
  const raw = 4 * start.length
  for (const upload of [{ codec: 'int8' }, { codec: 'int4' }, { codec: 'topk', density: 1 / 8, bits: 8 }] as const) {
    const { rounds, vector, result } = await run({ clients, upload })
    const [round] = rounds
    // The server adds the mean as it is: what it sent is the difference.
    const sent = Float64Array.from(vector, (value, i) => value - start[i]!)
    const product = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0)
    const cosine = product(sent, meant) / Math.sqrt(product(sent, sent) * product(meant, meant))
    // Of start + mean only float32 is left: each element of the mean is known within 2^-25 · |start + mean|.
    const unknown = (2 ** -25 * Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0))) / Math.sqrt(product(sent, sent))
    t.ok(Math.abs(round!.cosine! - cosine) <= 2 * unknown, `${upload.codec}: ${round!.cosine}, by hand ${cosine}`)
    t.notOk(1 - cosine <= 2 * unknown, 'canary: something is lost, and it is seen')
    t.ok(Math.abs(round!.updateNorm / Math.sqrt(product(sent, sent)) - 1) <= unknown)
    const message = encodeUpdate(Float32Array.from(parts[0]!.update), upload).bytes.length
    for (const client of round!.clients) {
      // A message of the k largest is as long as their places compress, the others depend on nothing but the length.
      if (upload.codec === 'topk') t.ok(client.bytesUp < raw / 4)
      else t.equal(client.bytesUp, message)
    }
    const bytes = round!.clients.reduce((sum, client) => sum + client.bytesUp, 0)
    t.same(
      [round!.bytesUp, round!.bytesUpRaw, round!.compressionRatio],
      [bytes, 3 * raw, (3 * raw) / bytes],
      upload.codec,
    )
    t.same([result.bytesUp, result.bytesUpRaw, result.bytesDown], [bytes, 3 * raw, round!.bytesDown])
  }
})

t.test('a client without a supervised token sends nothing, weighs nothing, and hides nobody', async (t) => {
  for (const upload of [{ codec: 'f32' }, { codec: 'int8' }] as const) {
    const without = await run({ clients, upload, rounds: 2 })
    const beside = await run({ clients: [...clients, bare], upload, rounds: 2 })
    t.ok(
      bytesOf(beside.vector).equals(bytesOf(without.vector)),
      `${upload.codec}: the adapter is the same, bit for bit`,
    )
    for (const [i, round] of beside.rounds.entries()) {
      const other = without.rounds[i]!
      t.equal(round.loss, other.loss, 'the loss is that of the others')
      t.equal(round.cosine, other.cosine)
      t.equal(round.bytesUp, other.bytesUp)
      t.equal(round.bytesUpRaw, other.bytesUpRaw)
      t.same({ loss: round.clients[3]!.loss, bytesUp: round.clients[3]!.bytesUp }, { loss: null, bytesUp: 0 })
    }
    t.equal(beside.result.loss, without.result.loss)
  }
})

t.test('a round in which nobody learnt anything leaves the adapter as it is', async (t) => {
  const { vector, rounds, result } = await run({
    clients: [bare, bare],
    serverOptimizer: 'momentum',
    baselines: ['local'],
  })
  using untouched = model.createAdapter(lora)
  t.ok(bytesOf(vector).equals(bytesOf(untouched.vector())))
  const { loss, cosine, compressionRatio, updateNorm, bytesUp } = rounds[0]!
  t.same(
    { loss, cosine, compressionRatio, updateNorm, bytesUp },
    { loss: null, cosine: null, compressionRatio: null, updateNorm: 0, bytesUp: 0 },
  )
  t.equal(result.loss, null)
  t.same(
    result.baselines.map((report) => report.loss),
    [null, null],
  )
})
