/** The updates of a round in a file: what is read is what was kept, by ranges; nothing stays behind; refusals. */
import { readdirSync, rmSync } from 'node:fs'
import t from 'tap'
import { UpdateFile, type UpdateSet, updatesOf } from '../../src/aggregation/update-set.js'
import { Random } from '../../src/random/random.js'
import { bytesOf, temporaryFolder } from '../support/train.js'

function vector(length: number, seed: number): Float32Array {
  const random = new Random(seed, 79)
  return Float32Array.from({ length }, () => random.normal())
}

/** A rule that needs all updates: the largest of each element, by tiles. */
function largest(updates: UpdateSet, into: Float32Array, tile: number): void {
  for (let begin = 0; begin < into.length; begin += tile) {
    const end = Math.min(begin + tile, into.length)
    const rows = updates.ids.map((id) => updates.read(id, begin, end))
    for (let i = begin; i < end; i++) into[i] = Math.max(...rows.map((row) => row[i - begin]!))
  }
}

t.test('what was kept is read back, whole and by ranges, with lengths of their own', async (t) => {
  using updates = await UpdateFile.create()
  const kept = new Map([1, 7, 5000, 3].map((length, k) => [`client ${k}/ä`, vector(length, k)]))
  await Promise.all([...kept].map(([id, values]) => updates.add(id, values)))
  t.same([...updates.ids].sort(), [...kept.keys()].sort())
  for (const [id, values] of kept) {
    t.equal(updates.lengthOf(id), values.length)
    t.ok(bytesOf(updates.read(id, 0, values.length)).equals(bytesOf(values)))
    const [begin, end] = [values.length >> 1, values.length]
    t.ok(bytesOf(updates.read(id, begin, end)).equals(bytesOf(values.slice(begin, end))))
    t.equal(updates.read(id, 0, 0).length, 0)
  }
  const into = new Float32Array(100).fill(9)
  t.equal(updates.read('client 2/ä', 10, 60, into), into)
  t.same([...into.subarray(0, 50)], [...kept.get('client 2/ä')!.subarray(10, 60)])
  t.ok(
    into.subarray(50).every((value) => value === 9),
    'no more than was asked for',
  )
  const view = vector(64, 8).subarray(3, 40)
  await updates.add('part of an array', view)
  t.ok(bytesOf(updates.read('part of an array', 0, 37)).equals(bytesOf(view)))
})

t.test('a rule by tiles gives the same bits from a file and from memory, whatever the tile', async (t) => {
  using updates = await UpdateFile.create()
  const vectors = [1, 2, 3, 4].map((seed) => vector(1003, seed))
  for (const [k, values] of vectors.entries()) await updates.add(`${k}`, values)
  const expected = new Float32Array(1003)
  largest(updatesOf(vectors), expected, 1003)
  for (const tile of [1, 64, 1000, 5000]) {
    const got = new Float32Array(1003)
    largest(updates, got, tile)
    t.ok(bytesOf(got).equals(bytesOf(expected)), `tile ${tile}`)
  }
  const other = new Float32Array(1003)
  largest(updatesOf(vectors.slice(1)), other, 64)
  t.notOk(bytesOf(other).equals(bytesOf(expected)), 'canary: one update less is seen')
})

t.test('one round after the other, and nothing is left of them', async (t) => {
  const folder = temporaryFolder('updates')
  const updates = await UpdateFile.create([folder])
  for (let round = 0; round < 3; round++) {
    for (const id of ['a', 'b']) await updates.add(id, vector(50 + round, round))
    t.ok(bytesOf(updates.read('b', 0, 50 + round)).equals(bytesOf(vector(50 + round, round))))
    updates.reset()
    t.same(updates.ids, [])
  }
  t.same(readdirSync(folder), [], 'its file has no name')
  updates.dispose()
  updates.dispose()
  t.throws(() => updates.read('a', 0, 1), { code: 'E_DISPOSED' })
  await t.rejects(updates.add('a', vector(1, 1)), { code: 'E_DISPOSED' })
  rmSync(folder, { recursive: true })
})

t.test('what is being written is waited for', async (t) => {
  const updates = await UpdateFile.create()
  const writing = updates.add('a', vector(100_000, 1))
  t.throws(() => updates.reset(), { code: 'E_BUSY', message: /a are being written/ })
  await t.rejects(updates.add('a', vector(1, 1)), { code: 'E_ARGUMENT', message: /there already/ })
  updates.dispose()
  await writing
})

t.test('what is refused', async (t) => {
  using updates = await UpdateFile.create()
  await updates.add('a', vector(10, 1))
  await t.rejects(updates.add('a', vector(10, 1)), { code: 'E_ARGUMENT', message: /'a' is there already/ })
  for (const value of [new Float64Array(2), [1], null] as never[]) {
    await t.rejects(updates.add('b', value), { code: 'E_ARGUMENT', message: /expected a Float32Array/ })
  }
  t.same(updates.ids, ['a'])
  for (const set of [updates, updatesOf([vector(10, 1)])] as const) {
    const id = set.ids[0]!
    t.throws(() => set.read('nobody', 0, 1), { code: 'E_ARGUMENT', message: new RegExp(`nobody.*known are ${id}`) })
    t.throws(() => set.lengthOf('nobody'), { code: 'E_ARGUMENT' })
    const ranges = [
      [0, 11],
      [3, 2],
      [-1, 4],
      [0.5, 2],
      [Number.NaN, 2],
    ] as const
    for (const [begin, end] of ranges) {
      t.throws(() => set.read(id, begin, end), { code: 'E_ARGUMENT', message: /range/ }, `${begin} ${end}`)
    }
    t.throws(() => set.read(id, 0, 4, new Float32Array(3)), { code: 'E_ARGUMENT', message: /array of 3 for 4/ })
  }
})
