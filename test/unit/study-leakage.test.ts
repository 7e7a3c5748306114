/** The study of leakage: attacks that work where they should and fail where they must, and their report. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { norm } from '../../src/aggregation/vectors.js'
import { arms, full, lengths, quick, rank } from '../../src/cli/study/leakage/design.js'
import { firstInputs } from '../../src/cli/study/leakage/first-inputs.js'
import { openInversion } from '../../src/cli/study/leakage/inversion.js'
import { leakageOf } from '../../src/cli/study/leakage/leakage.js'
import { membershipOf } from '../../src/cli/study/leakage/membership.js'
import { armOf, groupsOf } from '../../src/cli/study/leakage/plan.js'
import { compressed, noised, nothing, summed } from '../../src/cli/study/leakage/protections.js'
import { outcomesOf, tableRows, writeReport } from '../../src/cli/study/leakage/report.js'
import { distancesFrom, spanOfRows } from '../../src/cli/study/leakage/span.js'
import { likeliestTokens, shareFound } from '../../src/cli/study/leakage/tokens.js'
import type { Trial } from '../../src/cli/study/leakage/trial.js'
import { beginning, tokensOf, updateOf } from '../../src/cli/study/leakage/victims.js'
import { loadDataset } from '../../src/data/index.js'
import { loadModel } from '../../src/model/load.js'
import { Random } from '../../src/random/random.js'
import { smallModel } from '../support/shipped.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('leakage')
t.teardown(() => rmSync(root, { recursive: true }))
const model = await loadModel(smallModel, { quantization: 'nf4', compute: 'bf16', threads: 2 })
t.teardown(() => model.dispose())
const data = await loadDataset(join(smallModel, '..', 'gsm8k', 'train.jsonl'), {
  format: 'gsm8k',
  tokenizer: model,
  maxLength: 512,
  overlong: 'drop',
})
const { signal } = new AbortController()
const draws = (length: number, salt: number) => {
  const random = new Random(salt, 1)
  return Float32Array.from({ length }, () => random.normal())
}

t.test('membership: areas and rates of scores whose answer is known', async (t) => {
  const others = Array.from({ length: 100 }, (_, i) => i)
  t.same(membershipOf([-2, -1], others), { auc: 1, found: 1 })
  t.same(membershipOf([200, 300], others), { auc: 0, found: 0 })
  t.same(membershipOf([5, 5], [5, 5, 5]), { auc: 0.5, found: 0 }, 'ties tell nothing, and accuse nobody')
  t.same(membershipOf([49.5], others), { auc: 0.5, found: 0 })
  // One in a hundred may be accused: the score 0 of the others.
  t.same(membershipOf([0.5, 1.5], others), { auc: (99 + 98) / 200, found: 0.5 })
  t.equal(membershipOf([0.5], others.slice(0, 99)).found, 0, 'of 99 none may be')
})

t.test('spans: inside is 0, at a right angle 1, and a vector beside it neither', async (t) => {
  const M = draws(3 * 7, 1)
  const span = spanOfRows(M, 7, 7)
  t.equal(span.dimensions, 3)
  const mixed = Float32Array.from({ length: 7 }, (_, i) => 2 * M[i]! - M[7 + i]! + 0.5 * M[14 + i]!)
  const [inside, , beside, zero] = distancesFrom(
    span,
    Float32Array.from([...mixed, ...M.subarray(7, 14), ...draws(7, 2), ...new Float32Array(7)]),
  )
  // The sum was rounded to float32: (2⁻²⁴ · few)² is far below.
  t.ok(inside! <= 1e-12, `inside: ${inside}`)
  t.ok(beside! > 0.05 && beside! < 0.999, `beside: ${beside}`)
  t.equal(zero, 1)
  t.notOk(distancesFrom(spanOfRows(M, 7, 1), mixed)[0]! <= 1e-12, 'canary: of one dimension it is outside')
})

t.test('inputs: unit mean square before the gain, and the same for every token of one embedding', async (t) => {
  const { values, vocabulary, hidden } = firstInputs(model)
  t.same([vocabulary, hidden, values.length], [4096, 192, 4096 * 192])
  t.ok(values.every(Number.isFinite))
})

for (const round of ['first', 'later'] as const) {
  t.test(`${round} round: one step of SGD betrays every token; what helps, helps`, async (t) => {
    const rows = { known: data.subset([0, 1, 2, 3, 4, 5, 6, 7]), held: data.subset([40, 41, 42, 43]) }
    using attacker = await openInversion(model, rows, { rank, round }, signal)
    const tried = async (name: string) => await attacker.attack(armOf(name), lengths[round], 0)
    const { tokens, found, guessed } = await tried('nothing')
    t.equal(found, 1, `all of ${tokens}`)
    t.ok(guessed < 0.6, `guessing: ${guessed}`)
    t.ok((await tried('clipping and noise 0.01')).found < 0.3, 'noise')
    t.ok((await tried('top-k, 1/64')).found < 0.6, 'one value in 64')
  })
}

t.test('canaries: the update of another row, and one of noise, betray nothing of a row', async (t) => {
  using adapter = model.createAdapter({ rank, alpha: 2 * rank, seed: 1 })
  const start = adapter.vector()
  const inputs = firstInputs(model)
  const [rows, others] = [await beginning(data, 50, 12), await beginning(data, 51, 12)]
  const secret = tokensOf(rows)
  const update = await updateOf(adapter, start, others, { optimizer: 'sgd', maxSteps: 1 }, signal)
  const share = (seen: Float32Array) =>
    shareFound(likeliestTokens({ adapter: start, update: seen, layout: adapter.layout }, inputs, secret.size), secret)
  const shared = [...secret].filter((token) => tokensOf(others).has(token)).length / secret.size
  t.ok(share(update) <= shared + 0.1, `another row: ${share(update)}, in common: ${shared}`)
  t.ok(share(draws(start.length, 5)) <= 0.2)
  t.equal(share(await updateOf(adapter, start, rows, { optimizer: 'sgd', maxSteps: 1 }, signal)), 1)
})

t.test('protections: the mean of a cohort, noise of its size, an update as it was', async (t) => {
  const updates = [draws(4096, 1), draws(4096, 2)]
  const mean = await summed(2).seen(updates, 1, 0)
  t.ok(mean.every((value, i) => Math.abs(value - (updates[0]![i]! + updates[1]![i]!) / 2) <= 1e-6))
  t.equal(await nothing.seen(updates, 1, 0), updates[0])
  const clip = norm(updates[0]!) / 4
  const cut = await noised(0.5).seen(updates, clip, 7)
  const noise = cut.map((value, i) => value - updates[0]![i]! / 4)
  // σ of 4096 normals is known to 1/√(2·4096) = 1.1 %: five of these.
  const sigma = norm(noise) / Math.sqrt(noise.length)
  t.ok(Math.abs(sigma / (0.5 * clip) - 1) <= 0.055, `σ ${sigma}, wanted ${0.5 * clip}`)
  t.same(await noised(0.5).seen(updates, clip, 7), cut)
  const bare = await noised(0).seen(updates, clip, 7)
  t.ok(Math.abs(norm(bare) / clip - 1) <= 1e-6, 'cut to the clip')
  t.same(await noised(0).seen(updates, 4.1 * clip, 7), updates[0], 'what is shorter stays')
  t.notSame(await noised(0.5).seen(updates, clip, 8), cut)
  const sparse = await compressed('', { codec: 'topk', density: 1 / 64 }).seen(updates, 1, 0)
  t.equal(sparse.filter((value) => value !== 0).length, 64)
})

t.test('plans: every trial once, every arm known', async (t) => {
  for (const sizes of [full, quick]) {
    const wishes = groupsOf(sizes).flatMap((group) => group.wishes as object[])
    t.equal(new Set(wishes.map((wish) => JSON.stringify(wish))).size, wishes.length)
    t.same(
      sizes.arms.filter((name) => armOf(name) === undefined),
      [],
    )
    t.ok(sizes.arms.includes('nothing'), 'the unprotected attack is always shown')
  }
  t.equal(new Set(arms.map(({ name }) => name)).size, arms.length)
})

t.test('a study: every trial once, and what is done is not done again', async (t) => {
  const sizes = { ...quick, arms: ['nothing'], victims: 1, ranks: [4], lengths: [8], members: 4, others: 5, steps: 1 }
  const folder = join(root, 'study')
  let told = 0
  const study = leakageOf({ full: sizes, quick: sizes })
  const run = () => study.run({ model, quick: true, folder, signal, onProgress: () => told++ })
  const { trials, table } = await run()
  // One row at rank 4, one in each round at the table's rank, one attack on membership.
  t.same(
    trials.map((trial) => (trial as Trial).attack),
    ['tokens', 'tokens', 'membership'],
  )
  t.equal(table.length, 2)
  const lines = () => readFileSync(join(folder, 'trials.ndjson'), 'utf8').trim().split('\n')
  t.same(
    lines().map((line) => JSON.parse(line)),
    trials,
  )
  told = 0
  t.same((await run()).trials, trials)
  t.equal(told, 0)
  t.equal(lines().length, 3)
  const other = leakageOf({ full: sizes, quick: { ...sizes, steps: 2 } })
  await t.rejects(other.run({ model, quick: true, folder, signal, onProgress() {} }), { code: 'E_ARGUMENT' })
})

t.test('a report: guesses first, means over victims and seeds, a plot', async (t) => {
  const tokens = (round: 'first' | 'later', length: number, victim: number, found: number): Trial => {
    return { attack: 'tokens', arm: 'nothing', round, rank, length, victim, tokens: 10, found, guessed: 0.25 }
  }
  const half = { auc: 0.75, found: 0.5 }
  const trials: Trial[] = [
    tokens('first', lengths.first, 1, 1),
    tokens('first', lengths.first, 2, 0.5),
    tokens('later', lengths.later, 1, 1),
    tokens('later', 99, 1, 0),
    { attack: 'membership', arm: 'nothing', seed: 1, loss: half, change: { auc: 1, found: 1 } },
  ]
  const outcomes = outcomesOf(trials)
  t.same(tableRows(trials, outcomes).slice(1), [
    ['(guessing)', '25 %', '25 %', '0.500', '1 %', '0.500', '1 %'],
    ['nothing', '75 %', '100 %', '0.750', '50 %', '1.000', '100 %'],
  ])
  const folder = join(root, 'report')
  mkdirSync(folder)
  const files = await writeReport(trials, outcomes, folder)
  t.same(
    files.map((file) => file.slice(folder.length + 1)),
    ['trials.ndjson', 'table.md', 'tokens.svg'],
  )
  t.match(readFileSync(join(folder, 'table.md'), 'utf8'), /\| nothing \| 75 % \|/)
  t.match(readFileSync(join(folder, 'tokens.svg'), 'utf8'), /rank 16<\/text>/)
})
