/** What a link over NATS does beside what all links do: late offers, keys of others, objects that are not what they are called, waits that have ended. */
import { readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import type { Known } from '../../src/federated/link/messages.js'
import { putObject } from '../../src/federated/nats/blobs.js'
import { checkDurable, connectNats, NatsLink, NatsServer, namesOf, openBucket, tokenOf } from '../../src/nats/index.js'
import { temporaryFolder } from '../support/train.js'
import { Answering } from './support/answering.js'
import { chunksOf, refOf } from './support/blob-conformance.js'
import { natsOf, skipNats } from './support/nats-server.js'

const never = new AbortController().signal
const knows = (settled: number): Known => ({ settled, working: null, heard: 0 })

t.test('a link over NATS', { skip: skipNats }, async (t) => {
  const root = temporaryFolder('nats-link')
  const nats = await natsOf(t, root, 'test', ['a', 'b'])
  const names = namesOf('test')
  const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
  const door = new Answering()
  const told: FedloraError[] = []
  const onError = (error: FedloraError) => void told.push(error)
  const server = await NatsServer.open({ connection, names, door, registry: door, onError })
  const as = (client: string) =>
    connectNats({
      servers: nats.servers,
      credentials: nats.seeds.clients[client]!,
      inbox: names.inbox(tokenOf(client)),
    })
  const [a, b] = [await as('a'), await as('b')]
  t.teardown(async () => {
    await server.close()
    for (const one of [a, b, connection]) await one.close()
  })
  const link = await NatsLink.open({ connection: a, names, client: 'a', key: 'of a' })

  await t.test('an offer that comes late is not taken for the answer to what was asked since', async (t) => {
    const gone = new AbortController()
    const first = link.next(knows(0), gone.signal)
    await door.until(1)
    gone.abort(new Error('gone'))
    await t.rejects(first, { message: 'gone' })
    door.asked[0]!.tell({ type: 'over', round: 1 })
    await new Promise((resolve) => setImmediate(resolve))
    const second = link.next(knows(2), never)
    await door.until(2)
    t.ok(door.asked[0]!.signal.aborted, 'what nobody waits for is not worked out any longer')
    t.same(door.asked[1]!.known, knows(2))
    door.asked[1]!.tell({ type: 'over', round: 3 })
    t.same(await second, { type: 'over', round: 3 })
  })

  await t.test(
    'who waits for news waits on when a server begins: it knows what was said to the one before',
    async (t) => {
      const before = door.asked.length
      const waits = link.next(knows(3), never)
      await door.until(before + 1)
      connection.publish(names.began(tokenOf('a')))
      await connection.flush()
      await a.flush() // it has been told
      door.asked[before]!.tell({ type: 'over', round: 4 })
      t.same(await waits, { type: 'over', round: 4 })
    },
  )

  await t.test('a key that is of another client', async (t) => {
    await t.rejects(NatsLink.open({ connection: b, names, client: 'b', key: 'of a' }), { code: 'E_AUTH' })
    t.equal(door.keys.get('of a'), 'a')
  })

  await t.test('a client speaks as itself alone', async (t) => {
    await t.rejects(NatsLink.open({ connection: b, names, client: 'a', key: 'of b' }), { code: 'E_AUTH' })
  })

  await t.test('a client of the same federation reads nothing that another one sends', async (t) => {
    const own = await openBucket(a, names.up('a'), { make: false })
    const bytes = Buffer.from('an update')
    const ref = refOf(bytes)
    await putObject(own, ref, chunksOf(bytes))
    t.equal((await own.info(ref.blob))?.size, bytes.length, 'canary: its owner does')
    const denied = { message: /permissions violation|E_AUTH/i }
    const others = await openBucket(b, names.up('a'), { make: false })
    await t.rejects(others.info(ref.blob), denied, 'its bucket')
    for (const [what, subject] of [
      ['a message by its number', `$JS.API.STREAM.MSG.GET.OBJ_${names.up('a')}`],
      ['a consumer', `$JS.API.CONSUMER.CREATE.OBJ_${names.up('a')}.c.$O.${names.up('a')}.>`],
      ['what the other is told', `$JS.API.DIRECT.GET.KV_${names.offers}.$KV.${names.offers}.${names.offer('a')}`],
      ['what the other knows', `$JS.API.DIRECT.GET.KV_${names.offers}.$KV.${names.offers}.${names.known('a')}`],
      ['the journal', `$JS.API.STREAM.MSG.GET.${names.journal}`],
      ["the server's own blobs", `$JS.API.STREAM.MSG.GET.OBJ_${names.blobs}`],
      ['who leads', `$JS.API.DIRECT.GET.KV_${names.leader}.$KV.${names.leader}.leader`],
      ['a record', names.journalSubject],
      ['the lead', `$KV.${names.leader}.leader`],
      ['the word of another', names.known('a')],
    ] as const) {
      await t.rejects(b.request(subject, '{}', { timeout: 5000 }), denied, what)
    }
    const heard = b.subscribe(`${names.inbox('a')}.>`)
    await t.rejects(
      heard.closed.then((error) => Promise.reject(error ?? new Error('nothing'))),
      denied,
      'answers to another',
    )
  })

  await t.test('what a server was asked that is gone is asked again as soon as another one begins', async (t) => {
    const { say } = door
    let end = () => {}
    const asked = new Promise<void>((resolve) => {
      door.say = () => {
        resolve()
        return new Promise((answer) => {
          end = () => answer({ type: 'taken' }) // too late
        })
      }
    })
    const lost = link.say({ type: 'working', round: 1, step: 1, steps: 2 }, never)
    await asked
    door.say = say
    const next = await NatsServer.open({ connection, names, door, registry: door })
    await t.rejects(lost, { code: 'E_UNREACHABLE', message: /another server has begun/ })
    t.same(await link.say({ type: 'working', round: 1, step: 1, steps: 2 }, never), { type: 'taken' })
    end()
    for (const { tell } of door.asked) tell({ type: 'over', round: 1 })
    await next.close()
  })

  await t.test('of what nobody foresaw the client hears that the log says why, and the log does', async (t) => {
    const { say } = door
    door.say = () => Promise.reject(new TypeError('a mistake'))
    const word = { type: 'working', round: 1, step: 1, steps: 2 } as const
    await t.rejects(link.say(word, never), { code: 'E_INTERNAL', message: /its log says why/ })
    t.match(told.splice(0), [{ code: 'E_INTERNAL', cause: { message: 'a mistake' } }])
    door.say = () => Promise.reject(new FedloraError('E_ROUND_CLOSED', 'late'))
    await t.rejects(link.say(word, never), { code: 'E_ROUND_CLOSED' })
    t.same(told, [], 'canary: what a client did wrong is told to it alone')
    door.say = say
  })

  await t.test('bytes that are not what their name says', async (t) => {
    const bucket = await openBucket(connection, names.down)
    const bytes = Buffer.from('what it is')
    const lie = { ...refOf(Buffer.from('something')), bytes: bytes.length }
    await t.rejects(putObject(bucket, lie, chunksOf(bytes)), { code: 'E_HASH' })
    t.equal((await bucket.info(lie.blob))?.deleted ?? true, true, 'it is not kept')
    await bucket.putBlob({ name: lie.blob }, bytes)
    door.read = async () => ({ bytes: bytes.length, chunks: chunksOf(bytes) }) as never
    const path = join(root, 'down')
    await t.rejects(link.download(lie, path, never), { code: 'E_HASH' }, 'somebody else put it there')
    t.throws(() => statSync(path), 'no file of it')
    const right = refOf(bytes)
    await link.download(right, path, never)
    t.ok(readFileSync(path).equals(bytes), 'canary: what is right arrives')
  })

  await t.test('a server that closes lets nobody wait, and what is said to it then is not worked out', async (t) => {
    const before = door.asked.length
    const gone = new AbortController()
    const waits = link.next(knows(5), gone.signal)
    await door.until(before + 1)
    t.notOk(door.asked[before]!.signal.aborted, 'canary')
    const closed = server.close()
    t.ok(door.asked[before]!.signal.aborted)
    for (const { tell } of door.asked) tell({ type: 'over', round: 1 })
    await closed
    gone.abort(new Error('gone'))
    await t.rejects(waits, { message: 'gone' })
  })
})

t.test('a server that acknowledges before it writes is refused', async (t) => {
  let config: object = {}
  const page = createServer((_, response) => response.end(JSON.stringify({ config })))
  await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve))
  t.teardown(() => page.close())
  const monitor = `http://127.0.0.1:${(page.address() as AddressInfo).port}`
  for (const lax of [{}, { sync_always: false }, { sync_interval: 120e9 }]) {
    config = lax
    await t.rejects(checkDurable(monitor), { code: 'E_CONFIG', message: /sync_interval: always/ })
  }
  config = { sync_interval: 120e9, sync_always: true }
  await t.resolves(checkDurable(monitor))
  config = { sync_always: 'yes' }
  await t.rejects(checkDurable(monitor), { code: 'E_UNREACHABLE' }, 'no such page')
  await t.rejects(checkDurable('http://127.0.0.1:1'), { code: 'E_UNREACHABLE' }, 'nobody there')
  await t.rejects(checkDurable('not an address'), { code: 'E_UNREACHABLE' })
})
