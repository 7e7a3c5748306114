/** The study of robustness: what is compared, and its report of rules by attacks. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { study } from '../../src/cli/study/robustness/design.js'
import { outcomesOf, tableRows, writeReport } from '../../src/cli/study/robustness/report.js'
import type { Trial } from '../../src/cli/study/study.js'
import { federationSchema } from '../../src/federated/options.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('robustness')
t.teardown(() => rmSync(root, { recursive: true }))

t.test(
  'every rule and attack is one that a federation takes, and the quick size has the plain mean under no attack',
  async (t) => {
    for (const { name, robust } of study.arms) {
      t.ok(federationSchema.safeParse({ rounds: 1, local: { steps: 1 }, robust }).success, name)
    }
    for (const { name, attackers } of study.settings) {
      t.ok(federationSchema.safeParse({ rounds: 1, local: { steps: 1 }, attackers }).success, name)
    }
    const { settings, arms } = study.quick
    t.ok(settings.includes('nobody') && arms.includes('mean'))
    t.strictSame(
      settings.filter((name) => !study.settings.some((setting) => setting.name === name)),
      [],
    )
    t.strictSame(
      arms.filter((name) => !study.arms.some((arm) => arm.name === name)),
      [],
    )
  },
)

const trial = (setting: string, arm: string, seed: number, loss: number, obeyed?: number): Trial => ({
  setting,
  arm,
  seed,
  losses: [9, loss],
  personal: [],
  errors: [],
  bytesUp: 0,
  bytesDown: 0,
  bytesUpRaw: 0,
  bytesDownRaw: 0,
  seconds: 0,
  ...(obeyed !== undefined && { obeyed }),
})

t.test('a table of rules by attacks: the last round, means over seeds, who obeys', async (t) => {
  const trials = [
    trial('nobody', 'mean', 1, 2),
    trial('nobody', 'mean', 2, 3),
    trial('backdoor ×5', 'mean', 1, 4, 1),
    trial('backdoor ×5', 'mean', 2, 4, 0.5),
    trial('nobody', 'Krum', 1, 5),
    trial('backdoor ×5', 'Krum', 1, 6, 0),
  ]
  t.same(tableRows(outcomesOf(study, trials)), [
    ['rule', 'nobody', 'backdoor ×5', 'obeys backdoor ×5'],
    ['mean', '2.500', '4.000', '75 %'],
    ['Krum', '5.000', '6.000', '0 %'],
  ])
  const folder = join(root, 'report')
  mkdirSync(folder)
  await writeReport(study, trials, folder)
  t.match(readFileSync(join(folder, 'table.md'), 'utf8'), /\| Krum \| 5\.000 \| 6\.000 \| 0 % \|/)
  const svg = readFileSync(join(folder, 'losses.svg'), 'utf8')
  for (const name of ['nobody', 'backdoor ×5', 'mean', 'Krum']) t.match(svg, `>${name}</text>`)
})
