/** The study of compression: what a byte less costs, paired by seed, and its plot. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { families, reference, study } from '../../src/cli/study/compression/design.js'
import { outcomesOf, tableRows, writeReport } from '../../src/cli/study/compression/report.js'
import type { Trial } from '../../src/cli/study/study.js'
import { federationSchema } from '../../src/federated/options.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('compression')
t.teardown(() => rmSync(root, { recursive: true }))

const trial = (arm: string, seed: number, loss: number, up: number, down: number): Trial => ({
  ...{ setting: 's', arm, seed, losses: [9, loss], errors: [null, null], personal: [], seconds: 1 },
  ...{ bytesUp: 8e6 / up, bytesDown: 8e6 / down, bytesUpRaw: 8e6, bytesDownRaw: 8e6 },
})
const trials = [
  trial('f32', 1, 2, 1, 1),
  trial('f32', 2, 3, 1, 1),
  trial('top-k 1/64', 1, 2.5, 200, 1),
  trial('top-k 1/64', 2, 3.25, 100, 1),
  trial('int4 up and down', 1, 1.9, 8, 8),
  trial('int4 up and down', 2, 2.9, 8, 8),
]

t.test('each way is known by one name, the options are valid, the first is what all are compared with', async (t) => {
  const names = study.arms.map(({ name }) => name)
  t.equal(new Set(names).size, names.length)
  t.equal(names[0], reference)
  for (const name of study.quick.arms) t.ok(names.includes(name), name)
  for (const { name, traffic } of study.arms) {
    t.ok(federationSchema.safeParse({ rounds: 1, local: { steps: 1 }, ...traffic }).success, name)
  }
  t.ok(families.every(({ ways }) => ways.length > 0))
})

t.test('losses above float32 pair seeds', async (t) => {
  const outcomes = outcomesOf(trials)
  const sparse = outcomes.find(({ way }) => way === 'top-k 1/64')!
  t.same(sparse.above, { mean: 0.375, deviation: Math.SQRT2 / 8 })
  t.same([sparse.fewerUp, sparse.fewerDown], [150, 1])
  t.same(tableRows(outcomes).slice(1), [
    ['f32', '2.5000 ± 0.7071', '+0.0000 ± 0.0000', '8.00', '1.0 ×', '8.00', '1.0 ×'],
    ['top-k 1/64', '2.8750 ± 0.5303', '+0.3750 ± 0.1768', '0.06', '150 ×', '8.00', '1.0 ×'],
    ['int4 up and down', '2.4000 ± 0.7071', '−0.1000 ± 0.0000', '1.00', '8.0 ×', '1.00', '8.0 ×'],
  ])
})

t.test('a report: table and plot, a line a family', async (t) => {
  const files = await writeReport(outcomesOf(trials), root)
  t.same(
    files.map((file) => file.slice(root.length + 1)),
    ['trials.ndjson', 'table.md', 'bytes.svg'],
  )
  t.match(readFileSync(join(root, 'table.md'), 'utf8'), /\| top-k 1\/64 \| 2\.8750/)
  const svg = readFileSync(join(root, 'bytes.svg'), 'utf8')
  for (const family of ['rounded', 'top-k', 'both ways']) t.match(svg, `>${family}</text>`)
  t.notMatch(svg, />segments by turn</, 'nothing is drawn of what was not run')
})
