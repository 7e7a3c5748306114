/** Seconds by phase. */
import t from 'tap'
import { Stopwatch } from '../../src/run/stopwatch.js'

t.test('seconds by phase, by a clock of our own', async (t) => {
  let now = 1000
  const { now: original } = performance
  performance.now = () => now
  t.teardown(() => {
    performance.now = original
  })
  const watch = new Stopwatch(['train', 'encode'])
  t.same(watch.seconds, { train: 0, encode: 0 })
  const result = await watch.time('encode', async () => {
    now += 250
    return 'done'
  })
  t.equal(result, 'done')
  await watch.time('encode', () => {
    now += 500
  })
  watch.add('train', 3)
  watch.add('train', 4)
  now += 1000
  t.same(watch.seconds, { train: 7, encode: 0.75 })
  t.equal(watch.total, 1.75)
})
