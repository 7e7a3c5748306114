/** Federations whose updates are masked: the same result to a step of the grid, the same bits in any order, drop-outs in every phase, refusals. */
import t from 'tap'
import { type RoundEvent, type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder } from '../support/train.js'
import { lora, makeClients, timeless } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())
const clients = (await makeClients(5)).map((train, i) => ({ name: `client-${i}`, train }))
const secureAggregation = { threshold: 3, clip: 0.25, bits: 20 }

async function run(variation: Partial<SimulateOptions> = {}) {
  const rounds: RoundEvent[] = []
  const running = simulate({
    model,
    adapter: lora,
    clients,
    rounds: 3,
    local: { steps: 1, batchSize: 2, learningRate: 1e-2 },
    secureAggregation,
    seed: 5,
    ...variation,
  })
  for await (const event of running) if (event.type === 'round') rounds.push(event)
  const { adapter, bytesUp, bytesDown } = await running
  const values = adapter.vector()
  adapter.dispose()
  return { rounds, values, bytesUp, bytesDown }
}

const largest = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)

t.test('a round is the open one to a step of the grid', async (t) => {
  for (const algorithm of ['fedavg', 'ffa', 'scaffold'] as const) {
    const open = await run({ rounds: 1, secureAggregation: undefined, algorithm })
    for (const [bits, wordBits, weighting] of [
      [20, 32, 'rows'],
      [8, 16, 'uniform'],
    ] as const) {
      if (algorithm === 'scaffold' && weighting === 'rows') continue
      const options = { rounds: 1, algorithm, ...(algorithm !== 'scaffold' && { weighting }) } as const
      const plain = weighting === 'rows' ? open : await run({ ...options, secureAggregation: undefined })
      const masked = await run({ ...options, secureAggregation: { threshold: 3, clip: 0.25, bits, wordBits } })
      // E[q] lies on the value, and each client is off by less than a step; so is their mean, and what float32 rounds of the sum.
      const bound = (2 * 0.25) / (2 ** bits - 1) + 2 ** -24
      const error = largest(masked.values, plain.values)
      t.notOk(!(error <= bound), `${algorithm}, ${bits} bits: ${error} within ${bound}`)
      t.ok(error > 0, 'and not without any')
      const [round] = masked.rounds
      t.ok(round!.cosine! > (bits === 20 ? 0.99999 : 0.5) && round!.cosine! < 1, `cosine ${round!.cosine}`)
      t.equal(round!.aggregationError, null, 'which needs every adapter')
      t.equal(round!.loss, plain.rounds[0]!.loss)
    }
  }
  const coarse = await run({ rounds: 1, secureAggregation: { ...secureAggregation, bits: 6 } })
  const open = await run({ rounds: 1, secureAggregation: undefined })
  t.ok(
    largest(coarse.values, open.values) > (2 * 0.25) / (2 ** 20 - 1) + 2 ** -24,
    'canary: six bits are beyond that bound',
  )
})

t.test('values that a seed chooses travel alone, and add up under masks', async (t) => {
  for (const upload of [
    { codec: 'randk', density: 1 / 4, bits: 32 },
    { codec: 'randk', density: { A: 1 / 8, B: 1 / 2 }, bits: 32, errorFeedback: false },
    { codec: 'blocks', density: 1 / 4, block: 16, bits: 32, errorFeedback: false },
  ] as const) {
    const name = JSON.stringify(upload)
    const shared = { upload, rounds: 1 } as const
    const open = await run({ ...shared, secureAggregation: undefined })
    const wide = { threshold: 3, clip: 2, bits: 20 }
    const masked = await run({ ...shared, secureAggregation: wide })
    const error = largest(masked.values, open.values)
    t.ok(error > 0 && error <= (2 * 2) / (2 ** 20 - 1) + 2 ** -22, `${name}: ${error}`)
    const whole = await run({ rounds: 1, secureAggregation: wide })
    const words = (bytes: number) => bytes - whole.rounds[0]!.secureAggregation!.bytesUp
    t.ok(words(masked.bytesUp) < 0.4 * words(whole.bytesUp), `${masked.bytesUp} of ${whole.bytesUp} bytes`)
    t.ok(largest(whole.values, open.values) > 1e-3, 'canary: the whole is another update')
  }
  // What is not chosen now is kept, and goes with a later round: as in the open.
  const kept = { upload: { codec: 'randk', density: 1 / 4, bits: 32 }, rounds: 3 } as const
  const [open, masked] = [await run({ ...kept, secureAggregation: undefined }), await run(kept)]
  t.ok(largest(masked.values, open.values) <= 1e-3, 'near to the open run over three rounds, too')
  const other = await run({ ...kept, clients: [...clients].reverse(), concurrency: 3 })
  t.ok(bytesOf(other.values).equals(bytesOf(masked.values)), 'in any order')
  const lost = await run({ ...kept, upload: { ...kept.upload, errorFeedback: false } })
  t.ok(largest(masked.values, lost.values) > 1e-3, 'canary: with nothing kept it is another run')
})

t.test('the same bits in any order, side by side, and going on', async (t) => {
  const absent = { absence: 0.15, rounds: 4 }
  const one = await run(absent)
  const other = await run({ ...absent, clients: [...clients].reverse(), concurrency: 3 })
  t.ok(bytesOf(one.values).equals(bytesOf(other.values)))
  t.not(
    one.rounds.every(({ dropped }) => dropped.length === 0),
    true,
  )
  const folder = temporaryFolder('secagg')
  await run({ ...absent, rounds: 2, outputDir: folder })
  const resumed = await run({ ...absent, resumeFrom: folder })
  t.ok(bytesOf(one.values).equals(bytesOf(resumed.values)))
  t.same(timeless(resumed.rounds), timeless(one.rounds.slice(2)))
  await t.rejects(run({ ...absent, resumeFrom: folder, secureAggregation: { ...secureAggregation, bits: 12 } }), {
    code: 'E_CHECKPOINT',
  })
})

t.test(
  'clients that are lost count if their vector came; a round with too few is abandoned and changes nothing',
  async (t) => {
    const { rounds } = await run({ rounds: 12, absence: 0.3, local: { steps: 1, batchSize: 1, learningRate: 1e-3 } })
    const abandoned = rounds.filter((round) => round.abandoned !== undefined)
    const held = rounds.filter((round) => round.abandoned === undefined)
    t.ok(abandoned.length > 1 && held.length > 1, `${abandoned.length} of ${rounds.length} abandoned`)
    for (const round of abandoned) {
      t.match(round.abandoned, /threshold/)
      t.equal(round.updateNorm, 0)
      t.equal(round.cosine, null)
    }
    for (const { updateNorm, secureAggregation, clients, dropped } of held) {
      t.ok(updateNorm > 0)
      t.equal(secureAggregation!.survivors, clients.length)
      t.equal(clients.length + dropped.length, 5)
      t.ok(secureAggregation!.survivors > 3)
    }
    const none = await run({ rounds: 2, absence: 0.99 })
    const begun = await run({ rounds: 2, absence: 0.99, seed: 6 })
    t.ok(bytesOf(none.values).equals(bytesOf(begun.values)), 'nobody is there, and nothing happens')
  },
)

t.test('bytes of the protocol are counted', async (t) => {
  const { rounds, values, bytesUp, bytesDown } = await run({ rounds: 1 })
  const [round] = rounds
  const protocol = round!.secureAggregation!
  // A client says keys (128 bytes), shares for four peers (85 each), a signature, and four shares (36 each), each with a header of 40.
  t.equal(protocol.bytesUp, 5 * (4 * 40 + 128 + 4 * 85 + 64 + 4 * 36))
  const each = round!.clients.map((client) => client.bytesUp)
  t.same(new Set(each), new Set([4 * (values.length + 1) + 40]))
  t.equal(round!.bytesUp, each.reduce((sum, bytes) => sum + bytes, 0) + protocol.bytesUp)
  t.ok(round!.bytesDown > round!.bytesDownRaw + protocol.bytesDown)
  t.same([bytesUp, bytesDown], [round!.bytesUp, round!.bytesDown])
})

t.test('what does not go together, or cannot work, is refused before anything runs', async (t) => {
  for (const [variation, message] of [
    [{ algorithm: 'flexlora' }, /secureAggregation excludes an algorithm that reads every client's adapter/],
    [{ algorithm: 'fednova' }, /whole numbers/],
    [{ upload: { codec: 'topk', density: 0.1 } }, /does not add up under masks/],
    [{ weighting: 'tokens' }, /known before a round/],
    [{ upload: { segments: 2 } }, /upload.segments/],
    [{ screening: { maxNorm: 1 } }, /screening.maxNorm/],
    [{ robust: 'median' }, /a rule compares updates/],
    [
      { privacy: { level: 'client', clip: 1, noiseMultiplier: 1, delta: 1e-5 }, weighting: 'uniform', cohort: 0.8 },
      /the server cuts every update/,
    ],
    [{ attackers: { 'client-0': 'nan' } }, /always a number/],
    [{ secureAggregation: { ...secureAggregation, threshold: 2 } }, /more than half of the 4 neighbours/],
    [{ secureAggregation: { ...secureAggregation, threshold: 5 } }, /at most all/],
    [{ secureAggregation: { ...secureAggregation, neighbours: 3 } }, /an even number/],
    [{ secureAggregation: { ...secureAggregation, clip: 0 } }, /clip/],
    [{ secureAggregation: { ...secureAggregation, clip: Number.NaN } }, /clip/],
    [{ secureAggregation: { ...secureAggregation, wordBits: 8 } }, /wordBits/],
    [{ secureAggregation: { ...secureAggregation, wordBits: 16 } }, /would overflow; take fewer bits/],
    [{ cohort: 1, clients: clients.slice(0, 1) }, /the sum of one/],
    [{ secureAggregation: {} }, /threshold/],
    [{ secureAggregation: { ...secureAggregation, shares: 3 } }, /shares/],
  ] as const) {
    await t.rejects(async () => run(variation as never), { code: 'E_CONFIG', message }, JSON.stringify(variation))
  }
})
