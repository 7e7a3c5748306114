/** What a federation has spent: rounds by kind, rounds run again, and what is read back. */
import { rmSync } from 'node:fs'
import t from 'tap'
import { Ledger } from '../../src/federated/simulate/ledger.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('ledger')
t.teardown(() => rmSync(root, { recursive: true }))

const one = { sampleRate: 0.5, noiseMultiplier: 1 }
const other = { sampleRate: 0.5, noiseMultiplier: 2 }

t.test('a round that is run again is spent again, unless it is the same to the bit', async (t) => {
  for (const repeats of [false, true]) {
    const ledger = await Ledger.open(undefined, 0, repeats)
    for (const round of [1, 2, 2, 3]) await ledger.spend(round, one)
    t.same(ledger.spends, [{ ...one, steps: repeats ? 3 : 4 }])
    t.same(ledger.after(3, one), [{ ...one, steps: repeats ? 3 : 5 }])
    t.same(ledger.after(4, one), [{ ...one, steps: repeats ? 4 : 5 }])
    t.same(ledger.spends, [{ ...one, steps: repeats ? 3 : 4 }], 'asking spends nothing')
  }
})

t.test('kinds add up by themselves, and all is read back', async (t) => {
  const ledger = await Ledger.open(root, 0, false)
  for (const [round, kind] of [one, other, one].entries()) await ledger.spend(round + 1, kind)
  const again = await Ledger.open(root, 3, false)
  t.same(again.spends, [
    { ...one, steps: 2 },
    { ...other, steps: 1 },
  ])
  await again.spend(4, other)
  t.same((await Ledger.open(root, 0, false)).spends, again.spends)
  await t.rejects(async () => await Ledger.open(root, 5, false), {
    code: 'E_CHECKPOINT',
    message: /knows of 4 rounds, but 5/,
  })
})
