/** Example-level privacy in a federation: what clients are told to do, what they spend, what is written first, and what is refused. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Algorithm } from '../../src/federated/algorithms/algorithm.js'
import { type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { epsilon } from '../../src/privacy/index.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { lora, outcomeOf } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('example-privacy')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const sizes = { ash: 4, birch: 8, cedar: 16, elm: 8 }
const clients = await Promise.all(
  Object.entries(sizes).map(async ([name, rows], i) => ({ name, train: await tokenRows(rows, 263, 17 * i) })),
)
const privacy = {
  level: 'example',
  clip: 0.5,
  noiseMultiplier: 2,
  delta: 1e-2,
  accountant: 'rdp',
  noise: 'seeded',
} as const

function options(variation: Partial<SimulateOptions> = {}): SimulateOptions {
  return {
    model,
    adapter: lora,
    clients,
    rounds: 3,
    cohort: { clients: 2 },
    local: { steps: 2, batchSize: 2, learningRate: 0.01 },
    seed: 5,
    privacy,
    ...variation,
  }
}

async function outcome(given: SimulateOptions) {
  const { vector, ...rest } = await outcomeOf(given)
  return { ...rest, length: vector.length, bits: bytesOf(vector).toString('hex') }
}

const spent = (rows: number, steps: number, noiseMultiplier = 2) =>
  epsilon({ sampleRate: 2 / rows, noiseMultiplier, steps, delta: 1e-2, accountant: 'rdp' }).epsilon
const ledger = (folder: string) => JSON.parse(readFileSync(join(folder, 'privacy.json'), 'utf8'))

t.test('ε of a round is that of the client that has spent most, by the rounds that each was asked in', async (t) => {
  const folder = join(root, 'rounds')
  const { rounds, result } = await outcome(options({ rounds: 4, outputDir: folder }))
  const asked = new Map<string, number>()
  for (const { clients, privacy } of rounds) {
    for (const { name } of clients) asked.set(name, (asked.get(name) ?? 0) + 1)
    const worst = Math.max(...[...asked].map(([name, times]) => spent(sizes[name as keyof typeof sizes], 2 * times)))
    t.equal(privacy!.epsilon, worst)
  }
  t.same(result.privacy, rounds.at(-1)!.privacy)
  t.match(ledger(folder), { version: 1, level: 'example', round: 4 })
  t.same(
    ledger(folder).accounts.map(([name, [spend]]: [string, [{ steps: number }]]) => [name, spend.steps]),
    [...asked].map(([name, times]) => [name, 2 * times]).sort(),
  )
})

t.test('seeded bits do not depend on concurrency, nor on how many rows share a pass; noise is in them', async (t) => {
  const { bits } = await outcome(options())
  t.equal((await outcome(options({ concurrency: 2 }))).bits, bits)
  const local = { steps: 2, batchSize: 1, gradientAccumulation: 2, learningRate: 0.01 }
  t.equal((await outcome(options({ local }))).bits, bits)
  t.not((await outcome(options({ privacy: { ...privacy, noiseMultiplier: 2.1 } }))).bits, bits)
  const secure = { ...privacy, noise: 'secure' } as const
  t.not((await outcome(options({ privacy: secure }))).bits, (await outcome(options({ privacy: secure }))).bits)
  t.not((await outcome(options({ privacy: undefined }))).bits, bits, 'canary')
})

t.test('a client that drew nobody sends its noise like the others', async (t) => {
  const local = { steps: 1, batchSize: 1, learningRate: 0.01 }
  const { rounds } = await outcome(options({ rounds: 4, cohort: 1, local }))
  const all = rounds.flatMap(({ clients }) => clients)
  t.equal(all.length, 16)
  t.ok(all.some(({ tokens }) => tokens === 0) && all.some(({ tokens }) => tokens > 0))
  t.ok(all.every(({ bytesUp }) => bytesUp === all[0]!.bytesUp && bytesUp > 1000))
})

t.test('what a client adds is noise of σ·clip/L and no more: maxGradNorm cuts nothing', async (t) => {
  const local = { steps: 1, batchSize: 2, learningRate: 0.01, optimizer: 'sgd' } as const
  const { rounds, length } = await outcome(
    options({ clients: [clients[0]!], cohort: 1, rounds: 1, local, privacy: { ...privacy, noiseMultiplier: 50 } }),
  )
  const deviation = (0.01 * 50 * 0.5) / 2
  const expected = deviation * Math.sqrt(length)
  // Five standard errors of a norm, and a row's gradient, which is a hundredth of the noise.
  t.ok(Math.abs(rounds[0]!.updateNorm / expected - 1) <= 5 / Math.sqrt(2 * length) + 0.01)
})

t.test('a budget alone gives the noise that no client exceeds it with; with noise it ends the run', async (t) => {
  const { noiseMultiplier: _, ...rest } = privacy
  const budgeted = await outcome(options({ cohort: 1, privacy: { ...rest, epsilon: 4 } }))
  const { epsilon: reached, noiseMultiplier } = budgeted.result.privacy!
  t.ok(reached! <= 4 && reached! >= 0.98 * 4, `${reached}`)
  t.equal(reached, spent(4, 6, noiseMultiplier), 'of the smallest client')
  const two = spent(4, 4) * 1.001
  const ended = await outcome(options({ cohort: 1, privacy: { ...privacy, epsilon: two } }))
  t.equal(ended.rounds.length, 2)
  t.ok(ended.result.privacy!.epsilon! <= two)
})

t.test('goes on bit by bit, and never without its ledger', async (t) => {
  const folder = join(root, 'resumed')
  const whole = await outcome(options())
  const run = simulate(options({ outputDir: folder }))
  for await (const event of run) if (event.type === 'round' && event.round === 1) break
  const resumed = await outcome(options({ resumeFrom: folder }))
  t.equal(resumed.bits, whole.bits)
  t.same(resumed.result.privacy, whole.result.privacy)
  const path = join(folder, 'privacy.json')
  const text = readFileSync(path, 'utf8')
  for (const damage of ['{"version":1}', text.replace('"round": 3', '"round": 1')]) {
    writeFileSync(path, damage)
    await t.rejects(outcome(options({ rounds: 4, resumeFrom: folder })), { code: 'E_CHECKPOINT' }, damage)
  }
  rmSync(path)
  await t.rejects(outcome(options({ rounds: 4, resumeFrom: folder })), { code: 'E_CHECKPOINT' })
})

t.test('rounds that are run again with other noise are spent again', async (t) => {
  const folder = join(root, 'again')
  const secure = options({ cohort: 1, privacy: { ...privacy, noise: 'secure' }, outputDir: folder, checkpointEvery: 5 })
  const controller = new AbortController()
  const run = simulate({ ...secure, signal: controller.signal })
  await t.rejects(async () => {
    for await (const event of run) if (event.type === 'round' && event.round === 1) controller.abort()
    await run
  })
  const before = ledger(folder)
  const { outputDir: _, ...rest } = secure
  const { result } = await outcome({ ...rest, resumeFrom: folder })
  const steps = ledger(folder).accounts[0][1][0].steps
  t.ok(steps >= 6 && steps <= 6 + 2 * before.round, `${steps}`)
  t.equal(result.privacy!.epsilon, spent(4, steps))
})

t.test('what is refused, before anything runs or by the client itself', async (t) => {
  const cases: [Partial<SimulateOptions>, RegExp][] = [
    ...['fedrep', 'fedkseed', 'pfedme', 'ditto', 'fedem', 'fedmezo', 'scaffold'].map(
      (algorithm): [Partial<SimulateOptions>, RegExp] => [{ algorithm }, /excludes/],
    ),
    [{ algorithm: { name: 'scaffold', option: 1 } }, /excludes/],
    [{ algorithm: { name: 'own', about: 'looks twice', source: 'here', looksAgain: true } }, /excludes.*here own/],
    [{ local: { steps: 1, learningRate: 0.1, packing: true } }, /packing of client ash and privacy exclude/],
    [{ local: { steps: 1, learningRate: 0.1, shuffle: false } }, /shuffle of client ash/],
    [{ local: { steps: 1, learningRate: 0.1, maxGradNorm: 3 } }, /maxGradNorm of client ash/],
    [{ privacy: { ...privacy, delta: 0.1 } }, /client cedar has 16 rows/],
    [{ privacy: { ...privacy, epsilon: 1e-3 } }, /epsilon/],
    [{ privacy: { ...privacy, adaptive: {} } }, /adaptive/],
  ]
  for (const [variation, message] of cases) {
    await t.rejects(outcome(options(variation)), { code: 'E_CONFIG', message }, JSON.stringify(variation))
  }
  const twice: Algorithm = {
    name: 'twice',
    about: 'trains twice',
    source: 'here',
    async work(kit) {
      await kit.train({ from: kit.given.adapter! })
      const trained = await kit.train({ from: kit.given.adapter!, label: 'other' })
      return { trained, vectors: {} }
    },
  }
  const looks: Algorithm = {
    ...twice,
    name: 'looks',
    async work(kit) {
      await kit.rowLosses(kit.given.adapter!)
      return { trained: await kit.train({ from: kit.given.adapter! }), vectors: {} }
    },
  }
  await t.rejects(outcome(options({ algorithm: twice })), { code: 'E_CONFIG', message: /trains a second time/ })
  await t.rejects(outcome(options({ algorithm: looks })), { code: 'E_CONFIG', message: /looks at the losses of rows/ })
})
