/** What clients keep: a round counts whole or not at all, whatever the disk does. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { OwnState } from '../../src/federated/client/own-state.js'
import { encodeVector } from '../../src/federated/vector-message.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('own-state')
t.teardown(() => rmSync(root, { recursive: true }))
const vector = (value: number) => new Float32Array(8).fill(value)

async function opened(name: string, clients: string[]): Promise<{ own: OwnState; folder: string }> {
  const folder = join(root, name)
  const own = await OwnState.open(folder)
  for (const [i, client] of clients.entries()) await own.write(client, 'v', 1, vector(i))
  await own.endRound()
  return { own, folder }
}

/** The file of a client's vector, whatever its name looks like. */
function fileOf(folder: string, round: number, at = 0): string {
  return readdirSync(folder)
    .filter((name) => name.includes(`.round-${round}.`))
    .sort()[at]!
}

t.test('a round that has not ended does not count', async (t) => {
  const { own } = await opened('pending', ['a', 'b'])
  await own.write('a', 'v', 2, vector(20))
  t.same(own.entries, [
    ['a', 'v', 1],
    ['b', 'v', 1],
  ])
  t.same(await own.read('a', 'v'), vector(0))
  await own.endRound()
  t.same(own.entries, [
    ['a', 'v', 2],
    ['b', 'v', 1],
  ])
  t.same(await own.read('a', 'v'), vector(20))
  t.equal(await own.read('c', 'v'), undefined, 'a client that kept nothing yet')
  t.equal(await own.read('a', 'w'), undefined, 'nor of that name')
})

t.test('a round that comes to nothing leaves nothing', async (t) => {
  const { own, folder } = await opened('dropped', ['a'])
  await own.write('a', 'v', 2, vector(20))
  await own.write('b', 'v', 2, vector(21))
  await own.dropRound()
  t.equal(readdirSync(folder).length, 1)
  await own.endRound()
  t.same(own.entries, [['a', 'v', 1]])
  t.same(await own.read('a', 'v'), vector(0))
})

t.test('vectors and clients of any name lie beside one another', async (t) => {
  const folder = join(root, 'names')
  const own = await OwnState.open(folder)
  const names = ['../up', 'a/b', 'a', '', '__proto__', 'ä'.repeat(300)]
  for (const [i, client] of names.entries()) {
    await own.write(client, 'v/1', 1, vector(i))
    await own.write(client, 'w', 1, vector(-i))
  }
  await own.endRound()
  t.equal(readdirSync(folder).length, 2 * names.length)
  const again = await OwnState.open(folder, own.entries)
  for (const [i, client] of names.entries()) {
    t.same(await again.read(client, 'v/1'), vector(i))
    t.same(await again.read(client, 'w'), vector(-i))
  }
})

t.test('everything of a round counts though an old file cannot be removed', async (t) => {
  const { own, folder } = await opened('stuck', ['a', 'b', 'c'])
  for (const client of ['a', 'b', 'c']) await own.write(client, 'v', 2, vector(10))
  // rm without `recursive` refuses a folder, as it does a file on a read-only or failing disk.
  const stuck = fileOf(folder, 1)
  rmSync(join(folder, stuck))
  mkdirSync(join(folder, stuck))
  await own.endRound()
  t.same(
    own.entries.map(([, , round]) => round),
    [2, 2, 2],
  )
})

t.test('a folder that is gone is named when something is to be kept in it', async (t) => {
  const { own, folder } = await opened('gone', ['a'])
  rmSync(folder, { recursive: true })
  await t.rejects(own.write('a', 'v', 2, vector(2)), { code: 'E_IO', message: /cannot write '.*gone/ })
  await own.endRound()
  t.same(own.entries, [['a', 'v', 1]])
})

t.test('files go when neither a checkpoint nor the round under way needs them', async (t) => {
  const { own, folder } = await opened('files', ['a'])
  const rounds = () =>
    readdirSync(folder)
      .map((name) => Number(/round-(\d+)/.exec(name)![1]))
      .sort()
  await own.flush()
  await own.committed()
  await own.write('a', 'v', 2, vector(2))
  await own.endRound()
  t.same(rounds(), [1, 2], 'round 1 is the checkpoint’s')
  await own.write('a', 'v', 3, vector(3))
  await own.endRound()
  t.same(rounds(), [1, 3], 'round 2 was nobody’s')
  await own.flush()
  await own.committed()
  t.same(rounds(), [3])
})

t.test('opening removes what nothing names, and refuses before it does when something is missing', async (t) => {
  const { folder } = await opened('open', ['a', 'b'])
  const all = readdirSync(folder)
  writeFileSync(join(folder, 'left-over'), 'x')
  await t.rejects(
    OwnState.open(folder, [
      ['a', 'v', 1],
      ['e', 'v', 1],
    ]),
    { code: 'E_CHECKPOINT', message: /client e/ },
  )
  t.same(readdirSync(folder).sort(), [...all, 'left-over'].sort(), 'nothing was removed')
  const own = await OwnState.open(folder, [['a', 'v', 1]])
  const [file, ...others] = readdirSync(folder)
  t.same(others, [])
  writeFileSync(join(folder, file!), encodeVector(new Float32Array(4)))
  await t.rejects(own.read('a', 'v', 8), { code: 'E_CHECKPOINT', message: /holds 4 values, expected 8/ })
  rmSync(join(folder, file!))
  t.notOk(existsSync(join(folder, file!)))
  await t.rejects(own.read('a', 'v', 8), { code: 'E_CHECKPOINT', message: /client a .* is missing/ }, 'never zeros')
})
