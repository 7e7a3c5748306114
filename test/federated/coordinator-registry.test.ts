/** Who may come in, and as whom: tokens that expire and are used once, keys that belong to one client, and what a server opened anew knows of them. */
import t, { type Test } from 'tap'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../src/federated/journal/memory.js'
import type { FedloraError } from '../../src/index.js'
import { options } from './support/conformance.js'

const known = { settled: 0, working: null, heard: 0 }

/** A server whose clock stands until it is set. */
async function serve(t: Test) {
  const journal = new MemoryJournal<Entry>()
  const blobs = new MemoryBlobs()
  journal.close = async () => {} // the next server reads it
  blobs.close = async () => {}
  const clock = { now: 0 }
  const open = async () => await Coordinator.open({ journal, blobs, config: options(), now: () => clock.now })
  const place = {
    clock,
    coordinator: await open(),
    async reopen() {
      await place.coordinator.close()
      place.coordinator = await open()
    },
  }
  t.teardown(() => place.coordinator.close())
  return place
}

/** The name of a key's client, or the code of its refusal. */
function nameOf(coordinator: Coordinator, key: string): string {
  try {
    return coordinator.clientOf(key)
  } catch (error) {
    return (error as FedloraError).code
  }
}

t.test('a token is good until the very moment of its end, and for one key', async (t) => {
  const { coordinator, clock } = await serve(t)
  const { token } = await coordinator.invite('a', 60)
  const late = await coordinator.invite('b', 60)
  clock.now = 60_000
  t.same(await coordinator.enroll(token, 'first'), { client: 'a' })
  clock.now = 60_001
  await t.rejects(coordinator.enroll(late.token, 'second'), { code: 'E_TOKEN', message: /client b has expired/ })
  t.same(await coordinator.enroll(token, 'first'), { client: 'a' }, 'who is in is told so, however late')
  await t.rejects(coordinator.enroll(token, 'second'), { code: 'E_TOKEN_USED', message: /client a / })
  await t.rejects(coordinator.enroll(`${token}x`, 'second'), { code: 'E_TOKEN', message: /unknown/ })
  t.same([nameOf(coordinator, 'first'), nameOf(coordinator, 'second')], ['a', 'E_AUTH'])
})

t.test('a key is that of one client', async (t) => {
  const { coordinator } = await serve(t)
  for (const name of ['a', 'b']) {
    const { token } = await coordinator.invite(name, 60)
    const enrolled = coordinator.enroll(token, 'shared')
    if (name === 'a') t.same(await enrolled, { client: 'a' })
    else await t.rejects(enrolled, { code: 'E_AUTH', message: /that of client a; client b/ })
  }
  t.equal(nameOf(coordinator, 'shared'), 'a')
  const { token } = await coordinator.invite('a', 60)
  t.same(await coordinator.enroll(token, 'shared'), { client: 'a' }, 'its own, once more')
})

t.test('a client with another key is the same client, and its old key nobody’s', async (t) => {
  const place = await serve(t)
  for (const key of ['old', 'new']) {
    const { token } = await place.coordinator.invite('a', 60)
    await place.coordinator.enroll(token, key)
  }
  const { token } = await place.coordinator.invite('b', 60)
  const seen = () => ['old', 'new'].map((key) => nameOf(place.coordinator, key))
  t.same(seen(), ['E_AUTH', 'a'])
  await place.reopen()
  t.same(seen(), ['E_AUTH', 'a'], 'to a server that is opened anew too')
  t.same(await place.coordinator.enroll(token, 'old'), { client: 'b' }, 'whoever has it now')
  t.same(seen(), ['b', 'a'])
})

t.test('shut out: its tokens are gone, a new one lets it in again', async (t) => {
  const { coordinator } = await serve(t)
  const [used, unused] = [await coordinator.invite('a', 60), await coordinator.invite('a', 60)]
  await coordinator.enroll(used.token, 'key')
  await coordinator.revoke('a')
  t.equal(nameOf(coordinator, 'key'), 'E_REVOKED')
  await t.rejects(coordinator.enroll(unused.token, 'other'), { code: 'E_TOKEN' })
  await t.rejects(coordinator.next('a', known, AbortSignal.abort()), { code: 'E_REVOKED' })
  await t.rejects(coordinator.next('nobody', known, AbortSignal.abort()), { code: 'E_AUTH' })
  await t.rejects(coordinator.revoke('nobody'), { code: 'E_ARGUMENT', message: /no client "nobody"/ })
  const { token } = await coordinator.invite('a', 60)
  await coordinator.enroll(token, 'other')
  t.same([nameOf(coordinator, 'key'), nameOf(coordinator, 'other')], ['E_AUTH', 'a'])
})

t.test('names and times that are none', async (t) => {
  const { coordinator } = await serve(t)
  for (const name of ['', 'a\n', '\ud800', 'x'.repeat(201), 7, undefined] as string[])
    await t.rejects(coordinator.invite(name, 60), { code: 'E_ARGUMENT' }, JSON.stringify(name))
  for (const seconds of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
    await t.rejects(coordinator.invite('a', seconds), { code: 'E_ARGUMENT' }, `${seconds}`)
  t.match(await coordinator.invite('x'.repeat(200), 1e-3), { token: /^[\w-]{43}$/ })
})

t.test('a server that was closed does nothing more', async (t) => {
  const place = await serve(t)
  const { coordinator } = place
  const { token } = await coordinator.invite('a', 60)
  await coordinator.close()
  await t.rejects(coordinator.enroll(token, 'key'), { code: 'E_UNREACHABLE', message: /ask again/ })
  await t.rejects(coordinator.pause(), { code: 'E_UNREACHABLE' })
  await place.reopen()
  t.same(await place.coordinator.enroll(token, 'key'), { client: 'a' }, 'and the next one does')
})
