/** The lease of who leads, by itself: taken by one, kept while it is renewed, lapsed without NATS, lost for good; and the journal of who has lost it. */
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'
import t from 'tap'
import { connectNats, type Leader, Lease, NatsJournal, namesOf } from '../../src/nats/index.js'
import { temporaryFolder } from '../support/train.js'
import { natsOf, skipNats } from './support/nats-server.js'

t.test('a lease', { skip: skipNats }, async (t) => {
  const folder = temporaryFolder('nats-lease')
  const nats = await natsOf(t, folder, 'test', [])
  const connect = () => connectNats({ servers: nats.servers, credentials: nats.seeds.server })
  const [one, two] = [await connect(), await connect()]
  t.teardown(async () => {
    for (const connection of [one, two]) await connection.close()
  })
  let count = 0
  const fresh = () => namesOf(`lease-${count++}`)
  const seconds = 1

  await t.test('one has it, the next gets it when it ends', async (t) => {
    const names = fresh()
    const first = await Lease.take(one, names, { seconds })
    await t.resolves(first.held())
    await t.rejects(
      Lease.take(two, names, { seconds }),
      { code: 'E_LOCKED', details: { pid: process.pid } },
      'who does not wait',
    )
    const seen: Leader[] = []
    const second = Lease.take(two, names, { seconds, onStandby: (leader) => seen.push(leader) })
    await until(() => seen.length > 0)
    await first.release()
    await t.resolves((await second).held())
    t.match(seen, [{ pid: process.pid, host: String, since: Number }], 'it is told once')
    await t.rejects(first.held(), { code: 'E_UNREACHABLE' }, 'who has let go')
    await (await second).release()
    await (await Lease.take(one, names, { seconds })).release()
  })

  await t.test('whose holder is gone it waits for, without being asked to', async (t) => {
    const names = fresh()
    const gone = await connect()
    await Lease.take(gone, names, { seconds })
    await gone.close()
    const next = await Lease.take(one, names, { seconds })
    await t.resolves(next.held())
    await next.release()
  })

  await t.test(
    'lost while its holder was silent: for good, and its journal is fenced off before anything is written',
    async (t) => {
      const names = fresh()
      const relay = await relayTo(nats.servers)
      const gone = await connectNats({ servers: relay.url, credentials: nats.seeds.server })
      const first = await Lease.take(gone, names, { seconds })
      const mayWrite = () => first.held()
      const old = await NatsJournal.open<{ n: number }>(gone, names, { claim: true, mayWrite })
      t.equal(await old.append([{ n: 1 }], 0), 1)
      const told: string[] = []
      first.onLost = ({ code }) => told.push(code)
      relay.cut()
      const second = await Lease.take(two, names, { seconds, onStandby: () => {} })
      await relay.mend()
      await t.rejects(first.held(), { code: 'E_JOURNAL_FENCED', details: { pid: process.pid } })
      await t.rejects(old.append([{ n: 2 }], 1), { code: 'E_JOURNAL_FENCED' })
      t.same(told, ['E_JOURNAL_FENCED'])
      const next = await NatsJournal.open<{ n: number }>(two, names, { claim: true })
      const read: number[] = []
      for await (const { record } of next.read()) read.push(record.n)
      t.same(read, [1])
      await second.release()
      await gone.close()
      relay.cut()
    },
  )

  await t.test('who takes over fences off first: what was sent before, and arrives after, is refused', async (t) => {
    const names = fresh()
    const old = await NatsJournal.open<{ n: number }>(one, names, { claim: true })
    t.equal(await old.append([{ n: 1 }], 0), 1)
    const next = await NatsJournal.open<{ n: number }>(two, names, { claim: true })
    await t.rejects(old.append([{ n: 2 }], 1), { code: 'E_JOURNAL_FENCED' }, 'although the next has written no record')
    for await (const { sequence } of next.read()) t.equal(sequence, 1)
    t.equal(await next.append([{ n: 3 }], 1), 2, 'records are counted as if nothing lay between')
    const read = await NatsJournal.open<{ n: number }>(one, names)
    const all: number[] = []
    for await (const { record } of read.read()) all.push(record.n)
    t.same(all, [1, 3])
    const claimless = await NatsJournal.open<{ n: number }>(one, names)
    for await (const _ of claimless.read());
    t.equal(await next.append([{ n: 4 }], 2), 3, 'canary: who only reads fences nobody off')
  })

  await t.test('while NATS is away it lapses, and nothing is written; it is held again afterwards', async (t) => {
    const names = fresh()
    const lease = await Lease.take(one, names, { seconds })
    const journal = await NatsJournal.open<{ n: number }>(one, names, { claim: true, mayWrite: () => lease.held() })
    await nats.kill()
    await new Promise((resolve) => setTimeout(resolve, 1100 * seconds)) // longer than the lease
    let held = false
    const waits = lease.held().then(() => (held = true))
    await new Promise((resolve) => setImmediate(resolve))
    t.notOk(held)
    await nats.restart()
    await waits
    t.equal(await journal.append([{ n: 1 }], 0), 1)
    await lease.release()
  })

  await t.test('all servers of a federation give it one length', async (t) => {
    const names = fresh()
    await (await Lease.take(one, names, { seconds: 2 })).release()
    await t.rejects(Lease.take(one, names, { seconds: 3 }), { code: 'E_CONFIG', details: { got: 3, expected: 2 } })
  })

  await t.test('waiting ends with its signal', async (t) => {
    const names = fresh()
    const first = await Lease.take(one, names, { seconds })
    const stop = new AbortController()
    const reason = new Error('enough')
    const onStandby = () => stop.abort(reason)
    await t.rejects(Lease.take(two, names, { seconds, onStandby, signal: stop.signal }), reason)
    await first.release()
  })
})

/** A way to NATS that can be cut. */
async function relayTo(url: string) {
  const { hostname, port } = new URL(url)
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = createConnection({ host: hostname, port: Number(port) })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    near.pipe(far).pipe(near)
  })
  const listen = (at: number) => new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve))
  await listen(0)
  const own = (server.address() as AddressInfo).port
  return {
    url: `nats://127.0.0.1:${own}`,
    cut() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
    mend: () => listen(own),
  }
}

async function until(true_: () => boolean): Promise<void> {
  while (!true_()) await new Promise((resolve) => setTimeout(resolve, 5))
}
