/** Some at a time: order, those who leave while they wait, and those who stay for too long. */
import t from 'tap'
import { Turnstile } from '../../src/federated/https/server/turnstile.js'

const never = new AbortController().signal
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Enters, and notes when it is in. */
function entering(turnstile: Turnstile, inside: string[], name: string, gone = never) {
  return turnstile.enter(gone).then((leave) => {
    inside.push(name)
    return leave
  })
}

t.test('as many as there are places, in the order in which they came', async (t) => {
  const turnstile = new Turnstile(2, 60_000)
  const inside: string[] = []
  const all = ['a', 'b', 'c', 'd', 'e'].map((name) => entering(turnstile, inside, name))
  await settled()
  t.same(inside, ['a', 'b'])
  t.equal(turnstile.waiting, 3)
  const leave = await all[1]!
  leave()
  leave()
  await settled()
  t.same(inside, ['a', 'b', 'c'], 'who leaves twice gives back one place')
  ;(await all[0]!)()
  ;(await all[2]!)()
  await settled()
  t.same(inside, ['a', 'b', 'c', 'd', 'e'])
  for (const one of all) (await one)()
  const again = ['f', 'g', 'h'].map((name) => entering(turnstile, inside, name))
  await settled()
  t.same(inside.slice(5), ['f', 'g'], 'as many places as before')
  for (const one of again) (await one)()
})

t.test('who goes while it waits takes no place', async (t) => {
  const turnstile = new Turnstile(1, 60_000)
  const inside: string[] = []
  const first = await entering(turnstile, inside, 'a')
  const going = new AbortController()
  const second = entering(turnstile, inside, 'b', going.signal)
  const third = entering(turnstile, inside, 'c')
  going.abort()
  ;(await second)()
  t.equal(turnstile.waiting, 1)
  await entering(turnstile, inside, 'gone before', AbortSignal.abort())
  t.equal(turnstile.waiting, 1)
  first()
  ;(await third)()
  t.same(inside, ['a', 'b', 'gone before', 'c'], 'those who went were told so')
  t.type(await turnstile.enter(never), 'function', 'the place is free')
})

t.test('who stays for too long keeps nobody out', async (t) => {
  const turnstile = new Turnstile(1, 20)
  const alive = setInterval(() => {}, 1000) // its own timer keeps no process alive
  t.teardown(() => clearInterval(alive))
  const inside: string[] = []
  const first = await entering(turnstile, inside, 'a')
  const second = await entering(turnstile, inside, 'b')
  first()
  const third = entering(turnstile, inside, 'c')
  await settled()
  t.same(inside, ['a', 'b'], 'what it gives back then is not its place any more')
  second()
  ;(await third)()
})
