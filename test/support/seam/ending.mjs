/**
 * Ways of ending while a step is under way. Usage: node ending.mjs MODE; prints `step N` lines, in the end what it has found.
 * exit: process.exit(7) · throw: an exception nobody catches · reject: a rejection nobody handles · wait: until a signal comes ·
 * terminate: workers terminated in mid-step, then a run here · queue: model disposed while calls wait in its queue.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { loadModel } from '../../../dist/index.js'
import { folder, longRun } from './work.mjs'

const mode = process.argv[2]
const tell = (step) => process.stdout.write(`step ${step}\n`)

/** In the middle of the step after next. */
const midStep = (doing) => (step) => {
  tell(step)
  if (step === 2) setTimeout(doing, 30)
}

const modes = {
  exit: () => longRun(midStep(() => process.exit(7))),
  throw: () =>
    longRun(
      midStep(() => {
        throw new Error('nobody catches this')
      }),
    ),
  reject: () => longRun(midStep(() => Promise.reject(new Error('nobody handles this')))),
  wait: () => longRun(tell),
  async terminate() {
    for (let round = 0; round < 6; round++) {
      const worker = new Worker(new URL('worker.mjs', import.meta.url), { workerData: { mode: 'train' } })
      if (round === 0)
        await sleep(20) // perhaps before the addon is even open
      else if (round === 1) await once(worker, 'online')
      else {
        await once(worker, 'message')
        await sleep(17 * round)
      }
      const code = await worker.terminate()
      tell(`${round} terminated ${code}`)
    }
    await longRun(tell, { maxSteps: 2 })
  },
  async queue() {
    const { native } = await import('../../../dist/native/load.js')
    const model = await loadModel(folder, { threads: 1 })
    // Below the handles, which would wait: the addon itself must settle every promise that it gave.
    const raw = /** @type {any} */ (model).handle.use('test')
    const adapter = raw.createAdapter([{ module: model.linears[0], rank: 2, scaling: 1, dropout: 0 }], 1)
    const ids = Int32Array.from({ length: 400 }, (_, i) => 5 + (i % 500))
    /** @type {Promise<unknown>[]} */
    const calls = Array.from({ length: 5 }, () => raw.logits(adapter, ids, Int32Array.of(400)))
    calls.push(adapter.gradients({ ids, labels: ids, lengths: Int32Array.of(400) }))
    await sleep(5)
    raw.dispose()
    const settled = await Promise.allSettled(calls)
    const codes = settled.map((one) => (one.status === 'fulfilled' ? 'done' : one.reason.code))
    adapter.read() // no job holds it any more
    process.stdout.write(`${native().info().version} ${codes.join(' ')}\n`)
  },
}
await modes[mode]()
