/** Client-level privacy in a federation: cohorts, clipping, noise, budget, what is written first, and what is refused. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Algorithm, algorithms, type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { epsilon } from '../../src/privacy/index.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf, linesOf } from '../support/run-folder.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { lora, outcomeOf } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('privacy')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const names = ['ash', 'birch', 'cedar', 'elm', 'fir', 'oak']
const clients = await Promise.all(names.map(async (name, i) => ({ name, train: await tokenRows(3, 263, 17 * i) })))
const privacy = { level: 'client', clip: 0.05, noiseMultiplier: 0.8, delta: 1e-2, noise: 'seeded' } as const

function options(variation: Partial<SimulateOptions> = {}): SimulateOptions {
  return {
    model,
    adapter: lora,
    algorithm: 'ffa',
    clients,
    rounds: 3,
    cohort: 0.5,
    local: { steps: 1, batchSize: 2, learningRate: 0.1, optimizer: 'sgd' },
    seed: 5,
    privacy,
    ...variation,
  }
}

async function outcome(given: SimulateOptions) {
  const { vector, ...rest } = await outcomeOf(given)
  return { ...rest, bits: bytesOf(vector) }
}

t.test('ε of every round is the accountant’s, and the cohort is drawn client by client', async (t) => {
  const { rounds, result } = await outcome(options({ rounds: 6 }))
  const spent = (steps: number) =>
    epsilon({ sampleRate: 0.5, noiseMultiplier: 0.8, steps, delta: 1e-2, accountant: 'pld' }).epsilon
  for (const { round, privacy } of rounds) t.equal(privacy!.epsilon, spent(round))
  t.same(result.privacy, rounds.at(-1)!.privacy)
  t.not(new Set(rounds.map(({ clients }) => clients.length)).size, 1, 'cohorts of different sizes')
  const { rounds: open, result: plain } = await outcome(options({ privacy: undefined, rounds: 1 }))
  t.equal(open[0]!.privacy, undefined)
  t.equal(plain.privacy, null)
})

t.test('without noise: the sum of clipped updates over q·N, whoever answers', async (t) => {
  const clip = 0.005
  const still = { ...privacy, clip, noiseMultiplier: 0 }
  const { rounds, result } = await outcome(options({ privacy: still, rounds: 1, cohort: 1 }))
  t.equal(result.privacy!.epsilon, null, 'nothing is private')
  t.ok(rounds[0]!.updateNorm <= clip && rounds[0]!.updateNorm > clip / 10, `norm ${rounds[0]!.updateNorm}`)
  const screened = await outcome(options({ privacy: still, rounds: 1, cohort: 1, screening: { maxNorm: clip } }))
  t.same(screened.rounds[0]!.refused ?? [], [], 'clients cut what they send')
  const wide = await outcome(options({ privacy: { ...still, clip: 1e6 }, rounds: 1, cohort: 1 }))
  t.ok(wide.rounds[0]!.updateNorm > clip, `canary: not clipped, the mean is longer: ${wide.rounds[0]!.updateNorm}`)
  const plain = await outcome(options({ privacy: undefined, weighting: 'uniform', rounds: 1, cohort: 1 }))
  const ratio = wide.rounds[0]!.updateNorm / plain.rounds[0]!.updateNorm
  t.ok(Math.abs(ratio - 1) <= 1e-6, 'a bound that binds nobody is the plain mean, to rounding')
  const fewer = await outcome(options({ privacy: still, rounds: 1, cohort: 1, absence: 0.5 }))
  const present = fewer.rounds[0]!.clients.length
  t.ok(
    present > 0 && present < 6 && fewer.rounds[0]!.updateNorm <= (clip * present) / 6,
    'who is absent counts as zero',
  )
})

t.test('noise: σ·clip/(q·N) on every element that travels, also when nobody answers', async (t) => {
  const { bits, rounds } = await outcome(options({ rounds: 1, cohort: 0.5, absence: 1 - 1e-12 }))
  t.equal(rounds[0]!.clients.length, 0)
  using adapter = model.createAdapter(lora)
  const deviation = (0.8 * 0.05) / 3
  const values = new Float32Array(new Uint8Array(bits).buffer)
  const before = adapter.vector()
  const moved = values.map((value, i) => value - before[i]!).filter((value) => value !== 0)
  const square = moved.reduce((sum, value) => sum + value * value, 0) / moved.length
  // The mean of n squares of normals has the relative deviation √(2/n); six of them.
  const within = (wanted: number) => Math.abs(square / wanted ** 2 - 1) <= 6 * Math.sqrt(2 / moved.length)
  t.ok(moved.length > 500, `${moved.length} elements`)
  t.ok(within(deviation), `variance ${square}, expected ${deviation ** 2}`)
  t.notOk(within(Math.sqrt(deviation)) || within(0.8 ** 2 * (0.05 / 3)), 'canary: σ² taken for σ')
})

t.test('seeded: the same bits in any order, when stopped and resumed; secure: others each time', async (t) => {
  const folder = join(root, 'whole')
  const whole = await outcome(options({ rounds: 4, outputDir: folder }))
  const turned = { clients: clients.toReversed(), concurrency: 2 }
  const stopped = join(root, 'stopped')
  const controller = new AbortController()
  const run = simulate(options({ rounds: 4, ...turned, outputDir: stopped, signal: controller.signal }))
  await t.rejects(
    (async () => {
      for await (const event of run) if (event.type === 'checkpoint' && event.round === 2) controller.abort()
    })(),
    { name: 'AbortError' },
  )
  const resumed = await outcome(options({ rounds: 4, ...turned, resumeFrom: stopped }))
  t.ok(resumed.bits.equals(whole.bits))
  t.same(filesOf(stopped), filesOf(folder))
  t.same(resumed.result.privacy, whole.result.privacy, 'a round that is the same again spends nothing again')
  t.equal(readFileSync(join(stopped, 'privacy.json'), 'utf8'), readFileSync(join(folder, 'privacy.json'), 'utf8'))

  const secure = options({ rounds: 1, cohort: 1, privacy: { ...privacy, noise: 'secure' } })
  t.notOk((await outcome(secure)).bits.equals((await outcome(secure)).bits))
})

t.test('the spend is on disk before the model is, and no resuming forgets it', async (t) => {
  const folder = join(root, 'ledger')
  const secure = { ...privacy, noise: 'secure' } as const
  const ledger = () => JSON.parse(readFileSync(join(folder, 'privacy.json'), 'utf8'))
  for await (const event of simulate(options({ privacy: secure, outputDir: folder, rounds: 4 }))) {
    if (event.type === 'round')
      t.ok(ledger().accounts[0][1][0].steps >= event.round, 'when a round is told, it is spent')
  }
  // As after a crash in round 5, whose spend was written and whose checkpoint was not.
  const [[name, [spend]]] = ledger().accounts
  const accounts = [[name, [{ ...spend, steps: 5 }]]]
  writeFileSync(join(folder, 'privacy.json'), JSON.stringify({ ...ledger(), round: 5, accounts }))
  const { result } = await outcome(options({ privacy: secure, resumeFrom: folder, rounds: 5 }))
  const steps = ledger().accounts[0][1][0].steps
  t.equal(steps, 6, 'run again with other noise, it is spent again')
  const { epsilon: spent } = epsilon({ sampleRate: 0.5, noiseMultiplier: 0.8, steps, delta: 1e-2, accountant: 'pld' })
  t.equal(result.privacy!.epsilon, spent)

  const again = options({ privacy: secure, resumeFrom: folder, rounds: 7 })
  const whole = readFileSync(join(folder, 'privacy.json'))
  const account = (round: number, spend: string) =>
    `{"version":1,"level":"client","round":${round},"accounts":[["all clients",[${spend}]]]}`
  for (const [text, message] of [
    ['{', /damaged/],
    ['{"version":1,"level":"client","round":4,"accounts":[]}', /knows of 0 rounds/],
    [account(2, '{"sampleRate":0.5,"noiseMultiplier":0.8,"steps":2}'), /knows of 2 rounds/],
    [account(4, '{"sampleRate":0.5,"noiseMultiplier":-1,"steps":5}'), /damaged/],
  ] as const) {
    writeFileSync(join(folder, 'privacy.json'), text)
    await t.rejects(async () => await simulate(again), { code: 'E_CHECKPOINT', message })
  }
  rmSync(join(folder, 'privacy.json'))
  await t.rejects(async () => await simulate(again), { code: 'E_CHECKPOINT', message: /missing/ })
  writeFileSync(join(folder, 'privacy.json'), whole)
  t.equal((await outcome(again)).rounds.length, 2)
})

t.test('a run ends at its budget, in order and with what it has', async (t) => {
  const folder = join(root, 'budget')
  const three = epsilon({ sampleRate: 0.5, noiseMultiplier: 0.8, steps: 3, delta: 1e-2 }).epsilon
  const bounded = { ...privacy, epsilon: three + 1e-9 }
  const { rounds, result } = await outcome(
    options({ rounds: 9, privacy: bounded, outputDir: folder, checkpointEvery: 5 }),
  )
  t.equal(rounds.length, 3)
  t.equal(result.rounds, 3)
  t.ok(result.privacy!.epsilon! <= bounded.epsilon)
  t.ok(existsSync(join(folder, 'adapter', 'adapter_model.safetensors')))
  t.match(
    linesOf(folder)
      .filter(({ type }) => type !== 'evaluation')
      .slice(-2),
    [
      { type: 'budget', round: 3 },
      { type: 'done', rounds: 3 },
    ],
  )
  const more = await outcome(options({ rounds: 9, privacy: bounded, resumeFrom: folder, checkpointEvery: 5 }))
  t.equal(more.rounds.length, 0, 'resumed, nothing more is spent')
  t.ok(more.bits.equals((await outcome(options({ rounds: 3 }))).bits), 'and it is the federation of three rounds')

  const planned = await outcome(options({ rounds: 3, privacy: { ...privacy, noiseMultiplier: undefined, epsilon: 2 } }))
  t.equal(planned.rounds.length, 3, 'a budget alone lasts for all rounds')
  const { epsilon: spent } = planned.result.privacy!
  t.ok(spent! <= 2 && spent! >= 0.98 * 2, `ε ${spent}`)
})

t.test('the clip norm moves to the quantile and is remembered', async (t) => {
  const adaptive = { quantile: 0.5, learningRate: 1 }
  const wide = { ...privacy, clip: 5, noiseMultiplier: 1e-3, adaptive }
  const folder = join(root, 'adaptive')
  const { rounds } = await outcome(options({ rounds: 6, cohort: 1, privacy: wide, outputDir: folder }))
  const clips = rounds.map(({ privacy }) => privacy!.clip)
  t.ok(
    clips.every((clip, i) => i === 0 || clip < clips[i - 1]!),
    `all were within: ${clips}`,
  )
  t.equal(clips[0], 5)
  const narrow = await outcome(options({ rounds: 3, cohort: 1, privacy: { ...wide, clip: 1e-4 } }))
  t.ok(narrow.rounds[2]!.privacy!.clip > narrow.rounds[0]!.privacy!.clip, 'none was within')
  const longer = await outcome(options({ rounds: 7, cohort: 1, privacy: wide, resumeFrom: folder }))
  const whole = await outcome(options({ rounds: 7, cohort: 1, privacy: wide }))
  t.equal(longer.rounds[0]!.privacy!.clip, whole.rounds[6]!.privacy!.clip, 'where it stood')
  t.ok(longer.bits.equals(whole.bits))
})

t.test('what would break the promise is refused before anything runs', async (t) => {
  const bad: [RegExp, Partial<SimulateOptions>][] = [
    [/noiseMultiplier, epsilon or both/, { privacy: { ...privacy, noiseMultiplier: undefined } }],
    [/without noise no epsilon holds/, { privacy: { ...privacy, noiseMultiplier: 0, epsilon: 1 } }],
    [/delta: got 0.2 with 6 clients/, { privacy: { ...privacy, delta: 0.2 } }],
    [/the first round spends/, { privacy: { ...privacy, epsilon: 0.01 } }],
    [
      /no noise up to/,
      { privacy: { ...privacy, noiseMultiplier: undefined, epsilon: 1e-3, delta: 1e-6, accountant: 'rdp' } },
    ],
    [/countNoise: got 0.1/, { privacy: { ...privacy, adaptive: { countNoise: 0.1 } } }],
    [/clip: got 0/, { privacy: { ...privacy, clip: 0 } }],
    [/sigma/, { privacy: { ...privacy, sigma: 1 } as never }],
    [/error feedback .*errorFeedback to false/, { upload: { codec: 'int8' } }],
    [
      /privacy.adaptive excludes upload.codec/,
      { privacy: { ...privacy, adaptive: {} }, upload: { codec: 'int8', errorFeedback: false } },
    ],
    [/privacy.level 'client' excludes weighting/, { weighting: 'rows' }],
    [/privacy.level 'client' excludes upload.segments/, { upload: { segments: 2 } }],
    ...['scaffold', 'fednova', 'fedkseed', 'flora', 'feddyn', 'fedem'].map(
      (algorithm) => [/does more than a step by the mean/, { algorithm }] as [RegExp, Partial<SimulateOptions>],
    ),
  ]
  for (const [message, variation] of bad) {
    await t.rejects(async () => await simulate(options(variation)), { code: 'E_CONFIG', message }, String(message))
  }
  const lossy = await outcome(options({ rounds: 1, upload: { codec: 'int8', errorFeedback: false } }))
  t.equal(lossy.rounds.length, 1, 'a lossy codec without error feedback is allowed')
})

t.test('where the spend cannot be written, there is no model of the round', async (t) => {
  const folder = join(root, 'unwritten')
  const ledger = join(folder, 'privacy.json')
  const { ffa } = algorithms
  const watched: Algorithm = {
    ...ffa!,
    name: 'watched',
    travels(turn, options) {
      if (turn.round === 2 && statSync(ledger).isFile()) {
        rmSync(ledger)
        mkdirSync(join(ledger, 'full'), { recursive: true })
      }
      return ffa!.travels!(turn, options)
    },
  }
  const kept: number[] = []
  const run = simulate(options({ algorithm: watched, outputDir: folder }))
  await t.rejects(
    (async () => {
      for await (const event of run) if (event.type === 'checkpoint') kept.push(event.round)
    })(),
    { code: 'E_IO', message: /privacy\.json/ },
  )
  t.same(kept, [1])
})
