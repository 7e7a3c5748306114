/** The store of residuals: a round counts whole or not at all, whatever the disk does. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ResidualStore } from '../../src/federated/client/residual-store.js'
import { encodeVector } from '../../src/federated/vector-message.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('residuals')
t.teardown(() => rmSync(root, { recursive: true }))
const vector = (value: number) => new Float32Array(8).fill(value)

async function store(name: string, clients: number[]): Promise<{ store: ResidualStore; folder: string }> {
  const folder = join(root, name)
  const opened = await ResidualStore.open(folder, 8)
  for (const client of clients) await opened.write(client, 1, vector(client))
  await opened.endRound()
  return { store: opened, folder }
}

t.test('a round that has not ended does not count', async (t) => {
  const { store: residuals } = await store('pending', [0, 1])
  await residuals.write(0, 2, vector(20))
  t.same(
    [...residuals.index],
    [
      [0, 1],
      [1, 1],
    ],
  )
  t.same(await residuals.read(0), vector(0))
  await residuals.endRound()
  t.same(
    [...residuals.index],
    [
      [0, 2],
      [1, 1],
    ],
  )
  t.same(await residuals.read(0), vector(20))
  t.same(await residuals.read(7), vector(0), 'a client that has none begins with zeros')
})

t.test('all residuals of a round count though an old file cannot be removed', async (t) => {
  const { store: residuals, folder } = await store('stuck', [0, 1, 2])
  for (const client of [0, 1, 2]) await residuals.write(client, 2, vector(10 + client))
  // rm without `recursive` refuses a folder, as it does a file on a read-only or failing disk.
  rmSync(join(folder, 'client-0.round-1.flup'))
  mkdirSync(join(folder, 'client-0.round-1.flup'))
  await residuals.endRound()
  t.same(
    [...residuals.index].map(([, round]) => round),
    [2, 2, 2],
  )
})

t.test('files go when neither a checkpoint nor the round under way needs them', async (t) => {
  const { store: residuals, folder } = await store('files', [0])
  await residuals.flush()
  await residuals.committed()
  await residuals.write(0, 2, vector(2))
  await residuals.endRound()
  t.same(readdirSync(folder).sort(), ['client-0.round-1.flup', 'client-0.round-2.flup'], 'round 1 is the checkpoint’s')
  await residuals.write(0, 3, vector(3))
  await residuals.endRound()
  t.same(readdirSync(folder).sort(), ['client-0.round-1.flup', 'client-0.round-3.flup'], 'round 2 was nobody’s')
  await residuals.flush()
  await residuals.committed()
  t.same(readdirSync(folder), ['client-0.round-3.flup'])
})

t.test(
  'opening removes what the index does not name, and refuses before it does when something is missing',
  async (t) => {
    const { folder } = await store('open', [0, 1])
    writeFileSync(join(folder, 'left-over'), 'x')
    await t.rejects(
      ResidualStore.open(
        folder,
        8,
        new Map([
          [0, 1],
          [5, 1],
        ]),
      ),
      { code: 'E_CHECKPOINT', message: /client 5/ },
    )
    t.ok(
      existsSync(join(folder, 'left-over')) && existsSync(join(folder, 'client-1.round-1.flup')),
      'nothing was removed',
    )
    const opened = await ResidualStore.open(folder, 8, new Map([[0, 1]]))
    t.same(readdirSync(folder), ['client-0.round-1.flup'])
    writeFileSync(join(folder, 'client-0.round-1.flup'), encodeVector(new Float32Array(4)))
    await t.rejects(opened.read(0), { code: 'E_CHECKPOINT', message: /holds 4 values, expected 8/ })
    rmSync(join(folder, 'client-0.round-1.flup'))
    await t.rejects(opened.read(0), { code: 'E_CHECKPOINT', message: /client 0: .* is missing/ }, 'never zeros')
  },
)
