/** What a federation has spent: rounds by kind, rounds run again, and what is read back. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Ledger } from '../../src/federated/ledger.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('ledger')
t.teardown(() => rmSync(root, { recursive: true }))

const one = { sampleRate: 0.5, noiseMultiplier: 1 }
const other = { sampleRate: 0.5, noiseMultiplier: 2 }
const step = (spend: typeof one) => new Map([['all', { ...spend, steps: 1 }]])
const open = (folder: string | undefined, done: number, repeats: boolean, level: 'client' | 'example' = 'client') =>
  Ledger.open({ level, noise: repeats ? 'seeded' : 'secure' }, { folder, done })

t.test('a round that is run again is spent again, unless it is the same to the bit', async (t) => {
  for (const repeats of [false, true]) {
    const ledger = await open(undefined, 0, repeats)
    for (const round of [1, 2, 2, 3]) await ledger.spend(round, step(one))
    t.same(ledger.accounts.get('all'), [{ ...one, steps: repeats ? 3 : 4 }])
    t.same(ledger.after(3, step(one)).get('all'), [{ ...one, steps: repeats ? 3 : 5 }])
    t.same(ledger.after(4, step(one)).get('all'), [{ ...one, steps: repeats ? 4 : 5 }])
    t.same(ledger.accounts.get('all'), [{ ...one, steps: repeats ? 3 : 4 }], 'asking spends nothing')
  }
})

t.test('kinds add up by themselves, and all is read back', async (t) => {
  const ledger = await open(root, 0, false)
  for (const [round, kind] of [one, other, one].entries()) await ledger.spend(round + 1, step(kind))
  const again = await open(root, 3, false)
  t.same(again.accounts.get('all'), [
    { ...one, steps: 2 },
    { ...other, steps: 1 },
  ])
  await again.spend(4, step(other))
  t.same((await open(root, 0, false)).accounts.get('all'), again.accounts.get('all'))
  await t.rejects(async () => await open(root, 5, false), {
    code: 'E_CHECKPOINT',
    message: /knows of 4 rounds, but 5/,
  })
})

t.test('accounts are apart, in the order of their names; a file of the other level is none', async (t) => {
  const folder = join(root, 'accounts')
  mkdirSync(folder)
  const ledger = await open(folder, 0, false, 'example')
  await ledger.spend(1, new Map([['b', { ...one, steps: 3 }]]))
  await ledger.spend(
    2,
    new Map([
      ['b', { ...other, steps: 1 }],
      ['a', { ...one, steps: 2 }],
    ]),
  )
  await ledger.spend(3, new Map())
  const again = await open(folder, 3, false, 'example')
  t.same(
    [...again.accounts],
    [
      ['a', [{ ...one, steps: 2 }]],
      [
        'b',
        [
          { ...one, steps: 3 },
          { ...other, steps: 1 },
        ],
      ],
    ],
  )
  await t.rejects(open(folder, 0, false), { code: 'E_CHECKPOINT', message: /is of level 'example'/ })
  await t.rejects(open(folder, 4, false, 'example'), { code: 'E_CHECKPOINT', message: /knows of 3 rounds, but 4/ })
})
