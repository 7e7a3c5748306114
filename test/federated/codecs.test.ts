/** Federations over every codec: they learn, send what they promise, and a second run or another order of clients changes no bit. */
import t from 'tap'
import { codecs } from '../../src/compression/codec.js'
import type { RoundEvent } from '../../src/federated/events.js'
import { type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf } from '../support/train.js'
import { lora, makeClients } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4' })
t.teardown(() => model.dispose())
const clients = (await makeClients(3)).map((train, i) => ({ name: `client ${i}`, train }))

type Upload = NonNullable<SimulateOptions['upload']>

async function run(upload: Upload, more: Partial<SimulateOptions> = {}) {
  const local = { steps: 2, batchSize: 2, learningRate: 1e-2 }
  const events: RoundEvent[] = []
  const running = simulate({ model, adapter: lora, clients, rounds: 3, local, seed: 5, upload, ...more })
  for await (const event of running) if (event.type === 'round') events.push(event)
  using adapter = (await running).adapter
  return { vector: adapter.vector(), losses: events.map(({ loss }) => loss), bytesUp: events[0]!.bytesUp }
}

const half = { density: 1 / 2 } as const
const uploads: Record<(typeof codecs)[number], Upload> = {
  f32: { codec: 'f32' },
  bf16: { codec: 'bf16' },
  int8: { codec: 'int8' },
  int4: { codec: 'int4' },
  topk: { codec: 'topk', density: { A: 1 / 8, B: 1 / 2 } },
  sign: { codec: 'sign' },
  randk: { codec: 'randk', ...half, bits: 16 },
  blocks: { codec: 'blocks', ...half, bits: 8, block: 16 },
  lowrank: { codec: 'lowrank', rank: 1 },
}
const exact = await run({ codec: 'f32' })
/** Of the bytes of float32; headers weigh on so small an adapter. */
const most: Record<(typeof codecs)[number], number> = {
  f32: 1,
  bf16: 0.52,
  int8: 0.27,
  int4: 0.15,
  topk: 0.1,
  sign: 0.05,
  randk: 0.27,
  blocks: 0.15,
  lowrank: 0.2,
}

for (const codec of codecs) {
  t.test(codec, async (t) => {
    const first = await run(uploads[codec])
    t.ok(first.losses[2]! < first.losses[0]!, `learns: ${first.losses}`)
    t.ok(first.bytesUp <= most[codec] * exact.bytesUp, `${first.bytesUp} of ${exact.bytesUp} bytes`)
    const turned = await run(uploads[codec], { clients: [...clients].reverse() })
    const again = await run(uploads[codec], { concurrency: 3 })
    t.ok(bytesOf(again.vector).equals(bytesOf(first.vector)), 'at the same time or one after the other')
    t.ok(bytesOf(turned.vector).equals(bytesOf(first.vector)), 'in another order')
    t.equal(bytesOf(first.vector).equals(bytesOf(exact.vector)), codec === 'f32', 'canary: a lossy codec changes bits')
    const unfed = await run({ ...uploads[codec], errorFeedback: false })
    t.ok(unfed.losses.every(Number.isFinite))
  })
}

t.test('parts of the adapter, and vectors beside it, go through every codec', async (t) => {
  for (const codec of ['topk', 'sign', 'randk', 'blocks', 'lowrank'] as const)
    for (const algorithm of ['ffa', 'scaffold'] as const) {
      const { losses } = await run({ ...uploads[codec], density: { A: 1 / 4, B: 1 / 2 } }, { algorithm, rounds: 2 })
      t.ok(losses.every(Number.isFinite), `${algorithm} over ${codec}`)
    }
})

t.test('what a codec does not have is refused before anything runs', async (t) => {
  const refuse = (upload: object, text: RegExp) =>
    t.rejects(run(upload as Upload), { code: 'E_CONFIG', message: text }, JSON.stringify(upload))
  await refuse({ codec: 'topk', bits: 16 }, /upload\.bits.*topk sends values of 2, 4, 8 bits/)
  await refuse({ codec: 'randk', bits: 2 }, /upload\.bits.*randk/)
  await refuse({ codec: 'blocks', block: 3 }, /upload\.block.*power of two/)
  await refuse({ codec: 'topk', density: { A: 0, B: 1 } }, /upload\.density/)
  await refuse({ codec: 'topk', density: { A: 0.1, B: 0.1, C: 1 } }, /upload\.density/)
  await refuse({ codec: 'randk', density: '1/64' }, /upload\.density/)
  await refuse({ codec: 'lowrank', rank: 0 }, /upload\.rank/)
  await refuse({ codec: 'lowrank', segments: 2 }, /upload\.segments.*lowrank/)
  await refuse({ codec: 'toString' }, /upload\.codec/)
})
