/** Error feedback over rounds: what is sent and what stays behind are what was learnt and what stayed behind before. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { OwnState } from '../../src/federated/client/own-state.js'
import { encodeUpload } from '../../src/federated/client/upload.js'
import { native } from '../../src/native/load.js'
import { Random } from '../../src/random/random.js'
import { bytesOf, temporaryFolder } from '../support/train.js'

const root = temporaryFolder('upload')
t.teardown(() => rmSync(root, { recursive: true }))

const length = 700
const random = new Random(17, 99)
const update = (scale: number) => Float32Array.from({ length }, () => scale * (random.uniform() - 0.5))
const lossy = [
  { codec: 'bf16', density: 1, bits: 8 },
  { codec: 'int8', density: 1, bits: 8 },
  { codec: 'int4', density: 1, bits: 8 },
  { codec: 'topk', density: 1 / 16, bits: 4 },
] as const

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

for (const upload of lossy) {
  t.test(`${upload.codec}: sent + residual = update + residual before, round after round`, async (t) => {
    const store = await OwnState.open(join(root, upload.codec))
    const residualOf = async (client: string) =>
      (await store.read(client, 'residual-adapter')) ?? new Float32Array(length)
    const total = { sent: new Float64Array(length), learnt: new Float64Array(length) }
    let last = new Float32Array(length)
    let largest = 0
    for (let round = 1; round <= 6; round++) {
      // Client b is asked in odd rounds only; its residual waits meanwhile.
      for (const client of round % 2 === 1 ? ['a', 'b'] : ['a']) {
        const learnt = update(client === 'a' ? 10 ** (round % 3) : 0.1)
        const given = learnt.slice()
        const before = await residualOf(client)
        const message = await encodeUpload('adapter', learnt, { client, round, seed: 1000 }, upload, store)
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
  const message = await encodeUpload('adapter', learnt, { client: 'a', round: 1, seed: 3 }, topk, undefined)
  const sent = native().decodeUpdate(message)
  const kept = sent.filter((value) => value !== 0).length
  t.ok(kept > 0 && kept <= Math.ceil(length * topk.density), `${kept} of ${length}`)
  const exact = await encodeUpload(
    'adapter',
    learnt,
    { client: 'a', round: 1, seed: 3 },
    { codec: 'f32', density: 1, bits: 8 },
    undefined,
  )
  t.ok(bytesOf(native().decodeUpdate(exact)).equals(bytesOf(learnt)))
})

t.test('seed, round, client and vector decide the rounding', async (t) => {
  const learnt = update(1)
  const of = (seed: number, client = 'a', vector = 'adapter', round = 1) =>
    encodeUpload(vector, learnt, { client, round, seed }, lossy[2], undefined)
  t.same(await of(5), await of(5))
  t.notSame(await of(5), await of(6))
  t.notSame(await of(5), await of(5, 'b'), 'each client has roundings of its own')
  t.notSame(await of(5), await of(5, 'a', 'control'), 'and each vector')
  t.notSame(await of(5), await of(5, 'a', 'adapter', 2), 'and each round')
})
