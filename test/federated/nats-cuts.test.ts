/** A line to NATS that goes dead in silence, or loses what was on its way: who waits on it is told, or given it again. */
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Known, Notice } from '../../src/federated/link/messages.js'
import { putObject, readObject } from '../../src/federated/nats/blobs.js'
import { cutOf, jetstreams, type NatsConnection } from '../../src/federated/nats/connect.js'
import { connectNats, NatsLink, NatsServer, namesOf, openBucket, tokenOf } from '../../src/nats/index.js'
import { temporaryFolder } from '../support/train.js'
import { Answering } from './support/answering.js'
import { chunksOf, refOf } from './support/blob-conformance.js'
import { Chaos } from './support/chaos-link.js'
import { openLine } from './support/line.js'
import { natsOf, skipNats } from './support/nats-server.js'

const never = new AbortController().signal
const known: Known = { settled: 0, working: null, heard: 0 }
const over = (round: number): Notice => ({ type: 'over', round })
const immediate = () => new Promise<void>((resolve) => setImmediate(resolve))
const nobodyWaits = 2 ** 31 - 1

/** Resolves when a connection has been cut and stands again, and whoever is told of that has been. */
async function standsAgain(connection: NatsConnection): Promise<void> {
  for await (const { type } of connection.status()) {
    if (type === 'reconnect') break
  }
  await immediate()
}

t.test('a line to NATS', { skip: skipNats }, async (t) => {
  const root = temporaryFolder('nats-cuts')
  const nats = await natsOf(t, root, 'test', ['a', 'b'])
  const names = namesOf('test')
  const line = await openLine(new Chaos(1, 0), false)
  line.to(Number(new URL(nats.servers).port))
  const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
  const door = new Answering()
  const server = await NatsServer.open({ connection, names, door, registry: door })
  const as = (client: string, servers: string, pings?: number) =>
    connectNats({ servers, credentials: nats.seeds.clients[client]!, inbox: names.inbox(tokenOf(client)), pings })
  const a = await as('a', `nats://127.0.0.1:${line.port}`, 400)
  const b = await as('b', nats.servers)
  const link = await NatsLink.open({ connection: a, names, client: 'a', key: 'of a', listening: nobodyWaits })
  t.teardown(async () => {
    await link.close()
    for (const { tell } of door.asked) tell(over(9)) // nobody waits for what it has left
    await server.close()
    for (const one of [a, b, connection]) await one.close()
    await line.close()
  })
  const path = join(root, 'file')
  const bytes = randomBytes(2 ** 21)
  const ref = refOf(bytes)
  const large = randomBytes(2 ** 25) // more than arrives while something else is done

  await t.test('is asked so often that a dead one is left within half a minute', async (t) => {
    const { pingInterval, maxPingOut, maxReconnectAttempts } = (b as unknown as { options: Record<string, number> })
      .options
    t.ok(pingInterval! * (maxPingOut! + 1) <= 30_000)
    t.equal(maxReconnectAttempts, -1, 'and made again for ever')
  })

  await t.test('whoever waits on a connection is told of a cut by one signal', async (t) => {
    t.equal(cutOf(b), cutOf(b))
    t.not(cutOf(b), cutOf(a), 'canary: of another, by another')
  })

  await t.test('what a client was told on a dead line is asked for again', async (t) => {
    const waits = link.next(known, never)
    await door.until(1)
    const again = standsAgain(a)
    line.silence()
    door.asked[0]!.tell(over(1))
    await again
    t.same(await link.say({ type: 'working', round: 1, step: 1, steps: 2 }, never), { type: 'taken' })
    const told = await Promise.race([waits, immediate().then(() => 'it waits')])
    t.equal(told, undefined, 'it is not waited for')
    const next = link.next(known, never)
    await door.until(2)
    door.asked[1]!.tell(over(2))
    t.same(await next, over(2))
  })

  await t.test('what a client says on a dead line is said again', async (t) => {
    const again = standsAgain(a)
    line.silence()
    const waits = link.next(known, never)
    await again
    t.same(await link.say({ type: 'working', round: 1, step: 1, steps: 2 }, never), { type: 'taken' })
    t.equal(await Promise.race([waits, immediate().then(() => 'it waits')]), undefined, 'it is not waited for')
    t.equal(door.asked.length, 2, 'canary: nobody has heard it')
  })

  await t.test('whoever asks on a dead line is told that it is lost', async (t) => {
    const again = standsAgain(a)
    line.silence()
    const said = link.say({ type: 'working', round: 1, step: 1, steps: 2 }, never)
    said.catch(() => {})
    await again
    const told = Promise.race([said, immediate().then(() => 'it waits')])
    await t.rejects(told, { code: 'E_UNREACHABLE', message: /was cut/ })
  })

  await t.test('a watch that was lost while nobody waited is made again', async (t) => {
    const again = standsAgain(a)
    line.silence()
    await again
    const { jetstreamManager } = await jetstreams()
    const { consumers } = await jetstreamManager(connection)
    const stream = `KV_${names.offers}`
    const mine = async () => {
      const all = []
      for await (const one of consumers.list(stream)) if (one.config.filter_subject?.endsWith('.a')) all.push(one.name)
      return all
    }
    const before = await mine()
    t.equal(before.length > 0, true, 'canary')
    for (const one of before) await consumers.delete(stream, one)
    const next = link.next(known, never)
    await door.until(3)
    t.equal((await mine()).length, 1)
    door.asked[2]!.tell(over(3))
    t.same(await next, over(3))
  })

  await t.test('a watch that says nothing is made anew', async (t) => {
    const deaf = await NatsLink.open({ connection: b, names, client: 'b', key: 'of b', listening: 300 })
    t.teardown(() => deaf.close())
    const first = deaf.next(known, never)
    await door.until(4)
    const { jetstreamManager } = await jetstreams()
    const { consumers } = await jetstreamManager(connection)
    const stream = `KV_${names.offers}`
    for await (const { name, config } of consumers.list(stream))
      if (config.filter_subject?.endsWith('.b')) await consumers.delete(stream, name)
    door.next = async () => over(4)
    t.equal(await first, undefined)
    let told: Notice | undefined
    for (let tries = 0; told === undefined && tries < 20; tries++) told = await deaf.next(known, never)
    t.same(told, over(4))
  })

  await t.test('a download whose end was lost arrives', async (t) => {
    door.read = async () => ({ bytes: bytes.length, chunks: chunksOf(bytes, 65_536) }) as never
    line.silence(2 ** 20)
    const again = standsAgain(a)
    await link.download(ref, path, never)
    await again
    t.ok(readFileSync(path).equals(bytes))
  })

  await t.test('what nobody reads any more is not sent', async (t) => {
    const listens = async () => {
      await b.flush()
      const page = (await (await fetch(`${nats.monitor}/connz`)).json()) as { connections: { subscriptions: number }[] }
      return page.connections.map(({ subscriptions }) => subscriptions).join()
    }
    const bucket = await openBucket(b, names.down, { make: false })
    await putObject(await openBucket(connection, names.down), refOf(large), chunksOf(large, 2 ** 19))
    const before = await listens()
    const chunks = readObject(bucket, refOf(large).blob)
    t.notOk((await chunks.next()).done)
    t.not(await listens(), before, 'canary: it is')
    await chunks.return(undefined)
    t.equal(await listens(), before)
  })

  await t.test('who does not want an object any more waits for nothing of it', async (t) => {
    const bucket = await openBucket(a, names.down, { make: false })
    const begun = new AbortController()
    const chunks = readObject(bucket, refOf(large).blob, 0, begun.signal)
    t.notOk((await chunks.next()).done)
    const again = standsAgain(a)
    line.silence()
    begun.abort(new Error('gone'))
    await t.rejects(
      (async () => {
        for await (const _ of chunks);
      })(),
      { message: 'gone' },
    )
    const unheard = new AbortController()
    const nothing = readObject(bucket, refOf(large).blob, 0, unheard.signal).next()
    unheard.abort(new Error('gone'))
    const told = Promise.race([nothing, immediate().then(() => 'it waits')])
    await t.rejects(told, { message: 'gone' }, 'nor for what was not answered yet')
    await again
  })

  await t.test('an upload on a dead line is given up when there is another, and made again', async (t) => {
    writeFileSync(path, bytes)
    let arrived: Buffer | undefined
    door.write = (async (_: string, __: unknown, ___: number, chunks: AsyncIterable<Uint8Array>) => {
      const got: Uint8Array[] = []
      for await (const chunk of chunks) got.push(chunk)
      arrived = Buffer.concat(got)
      return arrived.length
    }) as never
    line.silence(2 ** 20)
    await t.rejects(link.upload(ref, path, never), { code: 'E_UNREACHABLE', message: /was cut/ })
    await link.upload(ref, path, never)
    t.ok(arrived?.equals(bytes))
  })
})
