/** Error feedback over rounds: what is sent and what stays behind are what was learnt and what stayed behind before. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { OwnState } from '../../src/federated/client/own-state.js'
import { encodeUpload } from '../../src/federated/client/upload.js'
import { type Space, spaceOf, tensorsOf, whole } from '../../src/federated/protocol/space.js'
import { uploadSchema } from '../../src/federated/upload-options.js'
import { native } from '../../src/native/load.js'
import { Random } from '../../src/random/random.js'
import { bytesOf, temporaryFolder } from '../support/train.js'

const root = temporaryFolder('upload')
t.teardown(() => rmSync(root, { recursive: true }))

const length = 700
const random = new Random(17, 99)
const update = (scale: number) => Float32Array.from({ length }, () => scale * (random.uniform() - 0.5))
const lossy = [
  { codec: 'bf16' },
  { codec: 'int8' },
  { codec: 'int4' },
  { codec: 'topk', density: 1 / 16, bits: 4 },
  { codec: 'topk', density: { A: 1 / 16, B: 1 / 4 }, bits: 2 },
  { codec: 'sign' },
  { codec: 'randk', density: 1 / 16, bits: 32 },
  { codec: 'randk', density: { A: 1 / 2, B: 1 / 16 }, bits: 4 },
  { codec: 'blocks', density: 1 / 4, bits: 16, block: 8 },
  { codec: 'lowrank', rank: 1 },
] as const

/** One adapted layer: lora_A [10, 35], lora_B [70, 5]. */
const space: Space = spaceOf(
  [
    { name: 'base_model.model.m.lora_A.weight', shape: [10, 35], offset: 0, length: 350 },
    { name: 'base_model.model.m.lora_B.weight', shape: [70, 5], offset: 350, length: 350 },
  ],
  [{ module: 'm', rank: 5, scaling: 1 }],
)
const sending = (client: string, round: number, seed: number) => ({
  client,
  round,
  seed,
  space,
  travels: { adapter: whole(space) },
})

/** Largest |sent + residual − update − before|, in units of 2^-24 · (|sent| + |residual| + |update| + |before|). */
function brokenBy(sent: Float32Array, residual: Float32Array, update: Float32Array, before: Float32Array): number {
  let worst = 0
  for (let i = 0; i < length; i++) {
    const terms = [sent[i]!, residual[i]!, update[i]!, before[i]!]
    const size = terms.reduce((sum, value) => sum + Math.abs(value), 0)
    const error = Math.abs(terms[0]! + terms[1]! - terms[2]! - terms[3]!)
    if (!(error <= worst * 2 ** -24 * size)) worst = size === 0 ? Number.NaN : error / (2 ** -24 * size)
  }
  return worst
}

for (const [place, given] of lossy.entries()) {
  t.test(`${JSON.stringify(given)}: sent + residual = update + residual before, round after round`, async (t) => {
    const upload = uploadSchema.parse(given)
    const store = await OwnState.open(join(root, `${place}`))
    const residualOf = async (client: string) =>
      (await store.read(client, 'residual-adapter')) ?? new Float32Array(length)
    const total = { sent: new Float64Array(length), learnt: new Float64Array(length) }
    let last: Float32Array = new Float32Array(length)
    let largest = 0
    for (let round = 1; round <= 6; round++) {
      // Client b is asked in odd rounds only; its residual waits meanwhile.
      for (const client of round % 2 === 1 ? ['a', 'b'] : ['a']) {
        const learnt = update(client === 'a' ? 10 ** (round % 3) : 0.1)
        const given = learnt.slice()
        const before = await residualOf(client)
        const message = await encodeUpload('adapter', learnt, sending(client, round, 1000), upload, store)
        t.ok(bytesOf(learnt).equals(bytesOf(given)), 'the update is only read')
        t.same(await residualOf(client), before, 'the round has not ended: the residual before it still counts')
        await store.endRound()
        const sent = native().decodeUpdate(message)
        const residual = await residualOf(client)
        // Two float32 roundings, of update + before and of its difference to what was sent.
        const error = brokenBy(sent, residual, learnt, before)
        t.ok(error <= 2, `round ${round}, client ${client}: ${error}`)
        t.ok(
          residual.some((value) => value !== 0),
          'something is left',
        )
        if (client !== 'a') continue
        if (round > 1)
          t.notOk(brokenBy(sent, residual, learnt, new Float32Array(length)) <= 2, 'canary: without before')
        for (let i = 0; i < length; i++) {
          total.sent[i]! += sent[i]!
          total.learnt[i]! += learnt[i]!
          largest = Math.max(largest, Math.abs(learnt[i]!), Math.abs(sent[i]!), Math.abs(residual[i]!))
        }
        last = residual
      }
    }
    // Six rounds of two roundings each of at most twice the largest number that occurs.
    const lost = Math.max(...last.map((value, i) => Math.abs(total.sent[i]! + value - total.learnt[i]!)))
    t.ok(lost <= 6 * 2 * 2 * largest * 2 ** -24, `over all rounds nothing is lost but roundings: ${lost}`)
  })
}

t.test('without error feedback what is left out is lost; float32 leaves nothing', async (t) => {
  const learnt = update(1)
  const topk = lossy[3]
  const message = await encodeUpload('adapter', learnt, sending('a', 1, 3), uploadSchema.parse(topk), undefined)
  const sent = native().decodeUpdate(message)
  const kept = sent.filter((value) => value !== 0).length
  t.ok(kept > 0 && kept <= Math.ceil(length * topk.density), `${kept} of ${length}`)
  const exact = await encodeUpload('adapter', learnt, sending('a', 1, 3), uploadSchema.parse({}), undefined)
  t.ok(bytesOf(native().decodeUpdate(exact)).equals(bytesOf(learnt)))
})

t.test('seed, round, client and vector decide the rounding', async (t) => {
  const learnt = update(1)
  const int4 = uploadSchema.parse({ codec: 'int4' })
  const of = (seed: number, client = 'a', vector = 'adapter', round = 1) =>
    encodeUpload(vector, learnt, sending(client, round, seed), int4, undefined)
  t.same(await of(5), await of(5))
  t.notSame(await of(5), await of(6))
  t.notSame(await of(5), await of(5, 'b'), 'each client has roundings of its own')
  t.notSame(await of(5), await of(5, 'a', 'control'), 'and each vector')
  t.notSame(await of(5), await of(5, 'a', 'adapter', 2), 'and each round')
})

t.test(
  'randk and blocks: all clients of a round send the same values; without feedback their expectation is the update',
  async (t) => {
    const plain = uploadSchema.parse({ codec: 'randk', density: 1 / 8, bits: 32 })
    const learnt = update(1).map((value) => value + 2)
    const sent = async (client: string, round: number) =>
      native().decodeUpdate(await encodeUpload('adapter', learnt, sending(client, round, 5), plain, undefined))
    const places = (values: Float32Array) => [...values.keys()].filter((i) => values[i] !== 0).join()
    const first = await sent('a', 1)
    t.equal(places(first), places(await sent('b', 1)))
    t.not(places(first), places(await sent('a', 2)), 'another round, another choice')
    t.ok(
      first.every((value, i) => value === 0 || (value > 6.9 * learnt[i]! && value < 8.1 * learnt[i]!)),
      'scaled up',
    )
    const store = await OwnState.open(join(root, 'unscaled'))
    const kept = native().decodeUpdate(await encodeUpload('adapter', learnt, sending('a', 1, 5), plain, store))
    t.ok(
      kept.every((value, i) => value === 0 || value === learnt[i]),
      'with feedback as they are',
    )
  },
)

t.test('densities of A and B are those of the tensors', async (t) => {
  const upload = uploadSchema.parse({ codec: 'topk', density: { A: 0.02, B: 0.4 }, bits: 8 })
  const counts = (values: Float32Array) =>
    [values.subarray(0, 350), values.subarray(350)].map((part) => part.filter((value) => value !== 0).length)
  const send = async (vector: string, values: Float32Array) =>
    native().decodeUpdate(await encodeUpload(vector, values, sending('a', 1, 5), upload, undefined))
  t.same(counts(await send('adapter', update(1))), [7, 140])
  t.same(counts(await send('control', update(1))), [7, 140], 'a vector beside it of the same values')
  const half = { index: 1, of: 2 }
  const part = await encodeUpload('adapter', update(1), sending('a', 1, 5), upload, undefined, half)
  t.equal(
    native()
      .decodeUpdate(part)
      .filter((value) => value !== 0).length,
    140,
    'a segment has the density of its tensors',
  )
  const other = await send('other', update(1).subarray(0, 100))
  t.equal(other.filter((value) => value !== 0).length, 40, 'a vector of other values has the larger density')
  t.same(
    tensorsOf(space, [
      [20, 300],
      [350, 700],
    ]).map(({ part, shape }) => [part, ...shape]),
    [
      ['lora_A', 1, 280],
      ['lora_B', 70, 5],
    ],
  )
})
