/** Algorithms whose step is of sums, with workers that make them: the adapter and the figures of `simulate`. */
import t from 'tap'
import { algorithms } from '../../src/federated/algorithms/index.js'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { MemoryQueue } from '../../src/federated/workers/memory.js'
import { workOff } from '../../src/federated/workers/worker.js'
import { both, equal, variations } from './support/both.js'

const stop = new AbortController()
let folded = 0
const alive = setInterval(() => {}, 1000) // what waits for work keeps no process

for (const [name, one] of Object.entries(variations)) {
  const { algorithm = 'fedavg', robust, privacy } = one.federation ?? {}
  if (algorithms[algorithm as string]!.needs === 'all' || robust || privacy) continue
  t.test(name, async (t) => {
    const [queue, blobs] = [new MemoryQueue(), new MemoryBlobs()]
    const onEvent = () => void folded++
    for (const _ of [0, 1]) void workOff({ queue, blobs, signal: stop.signal, onEvent })
    const { simulated, served, rounds } = await both(one, { queue, blobs, workers: { answers: 2 } })
    t.ok(equal(served, simulated), 'the bits of simulate')
    t.same(rounds.served, rounds.simulated, 'and its figures')
  })
}

t.test('canary: workers were at it', async (t) => {
  stop.abort()
  clearInterval(alive)
  t.ok(folded > 40, `${folded} assignments`)
})
