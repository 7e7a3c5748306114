/** For whom a federation that has ended is still there: those who may hear of it, and nobody else. */
import t from 'tap'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../src/federated/journal/memory.js'
import { Lives } from '../../src/server/lives.js'
import { options } from './support/conformance.js'

const minute = 60_000
const open = new AbortController().signal
const nothing = { settled: 0, working: null, heard: 0 }

/** A federation of three clients and one that was only invited, and a server of it at a time of its own. */
async function begin() {
  let now = 1e6
  const journal = new MemoryJournal<Entry>()
  const blobs = new MemoryBlobs()
  journal.close = async () => {}
  blobs.close = async () => {}
  const serve = async () => {
    const config = options({ clients: { minimum: 9 } })
    const coordinator = await Coordinator.open({ journal, blobs, config, now: () => now })
    return { coordinator, lives: new Lives(coordinator, () => now) }
  }
  const first = await serve()
  for (const name of ['a', 'b', 'c', 'd']) {
    const { token } = await first.lives.invite(name, 1e9)
    if (name !== 'd') await first.lives.enroll(token, `key of ${name}`)
  }
  const passes = (minutes: number) => {
    now += minutes * minute
  }
  return { ...first, serve, passes }
}

/** Whether it has resolved, when all that is under way was done. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  void promise.then(() => {
    done = true
  })
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  return done
}

t.test('it ends when the last of those who are there has heard', async (t) => {
  const { coordinator, lives, passes } = await begin()
  passes(60)
  const waiting = ['a', 'b'].map((name) => lives.next(name, nothing, open))
  t.same(lives.unaware, ['a', 'b'], 'c was silent for an hour, d never came')
  await lives.stop('operator')
  t.same(await waiting[0], { type: 'over', round: 0, why: 'the operator has ended it' })
  await waiting[1]
  t.same(lives.unaware, [])
  t.ok(await settled(lives.everyoneKnows(open)))
  await coordinator.close()
})

t.test('it waits for who is between two requests, until the signal', async (t) => {
  const { coordinator, lives } = await begin()
  for (const name of ['a', 'b', 'c']) await lives.next(name, nothing, AbortSignal.abort())
  await lives.stop('operator')
  await lives.next('a', nothing, open)
  const signal = new AbortController()
  const all = lives.everyoneKnows(signal.signal)
  const beside = lives.everyoneKnows(signal.signal)
  t.notOk(await settled(all))
  await lives.next('b', nothing, open)
  t.same(lives.unaware, ['c'])
  t.notOk(await settled(all), 'c is missing')
  signal.abort()
  t.ok(await settled(all))
  t.ok(await settled(beside))
  const [revoked, alike] = [lives.everyoneKnows(open), lives.everyoneKnows(open)]
  t.notOk(await settled(revoked))
  await lives.revoke('c')
  t.ok(await settled(revoked), 'who is shut out is not waited for')
  t.ok(await settled(alike), 'by nobody who waits')
  await coordinator.close()
})

t.test('begun again, it does not know who is gone: it waits for all, until it was there for two minutes', async (t) => {
  const { coordinator, lives, serve, passes } = await begin()
  await lives.stop('operator')
  for (const name of ['a', 'b', 'c']) await lives.next(name, nothing, open)
  t.same(lives.unaware, [])
  await coordinator.close()
  const again = await serve()
  t.same(again.lives.unaware, ['a', 'b', 'c'])
  await again.lives.next('b', nothing, open)
  t.same(again.lives.unaware, ['a', 'c'])
  passes(2)
  t.same(again.lives.unaware, [])
  await again.coordinator.close()
})

t.test('who has fallen silent is looked for no longer, although nobody else is left to hear', async (t) => {
  const { coordinator, lives, passes } = await begin()
  for (const name of ['a', 'b', 'c']) await lives.next(name, nothing, AbortSignal.abort())
  await lives.stop('operator')
  await lives.next('a', nothing, open)
  const looks: (() => void)[] = []
  const { setTimeout: real } = globalThis
  const timers = t.intercept(globalThis, 'setTimeout', {
    value: (look: () => void, milliseconds: number) => {
      if (milliseconds > minute) looks.push(look)
      return real(look, milliseconds)
    },
  })
  const all = lives.everyoneKnows(open)
  passes(1)
  looks.pop()!()
  t.notOk(await settled(all), 'b and c were there a minute ago')
  passes(1)
  await lives.next('b', nothing, open)
  looks.pop()!()
  t.ok(await settled(all))
  timers.restore()
  await coordinator.close()
})
