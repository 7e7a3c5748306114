/** Workers over a real NATS: the queue keeps the promises of all queues; a federation with `fedlora aggregate`, killed on the way, has the bits of simulate. */
import t, { type Test } from 'tap'
import { connectNats } from '../../src/federated/nats/connect.js'
import { namesOf } from '../../src/federated/nats/names.js'
import { NatsQueue } from '../../src/federated/nats/queue.js'
import type { WorkerEvent } from '../../src/federated/workers/worker.js'
import { NatsJournal } from '../../src/nats/index.js'
import { runWorker } from '../../src/server/run-worker.js'
import { objects } from '../support/command.js'
import { temporaryFolder } from '../support/train.js'
import { natsOf, type RunningNats, skipNats } from './support/nats-server.js'
import { queueConformance } from './support/queue-conformance.js'
import { begin, Place, type Process, servedAdapter, simulatedAdapter } from './support/served.js'

const clients = ['a', 'b', 'c']
const names = namesOf('test')

async function place(t: Test, workers: Record<string, unknown>, changes: Record<string, unknown> = {}) {
  const folder = temporaryFolder('nats-workers')
  const nats = await natsOf(t, folder, 'test', clients)
  const section = { url: nats.servers, credentials: nats.files.server, space: 'test', lease: 1 }
  const made = new Place(folder, 0, clients, { listen: { admin: { port: 0 } }, nats: section, workers, ...changes })
  const joinAll = () => clients.map((name) => made.join(t, nats.files.clients[name]!, name))
  const work = (...words: string[]) => begin(t, ['aggregate', ...words], folder)
  return { nats, place: made, joinAll, work, folder }
}

async function records(nats: RunningNats) {
  const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
  const journal = await NatsJournal.open<{ type: string; accepted: string[]; round: number }>(connection, names)
  const found: { type: string; accepted: string[]; round: number }[] = []
  for await (const { record } of journal.read()) found.push(record)
  await connection.close()
  return found
}

/** Every answer is received, and folded, once. */
async function foldedOnce(t: Test, nats: RunningNats): Promise<void> {
  const all = await records(nats)
  const of = (type: string) => all.filter((record) => record.type === type)
  t.equal(of('received').length, 9)
  t.equal(of('accepted').length, 0)
  const folded = of('folded').flatMap(({ round, accepted }) => accepted.map((client) => `${round} ${client}`))
  t.same(
    folded.sort(),
    [1, 2, 3].flatMap((round) => clients.map((client) => `${round} ${client}`)),
  )
}

const allJoin = async (t: Test, joined: Process[]) => {
  for (const client of joined) t.match(await client.ended, { code: 0, stderr: /3 answers of this client counted/ })
}

t.test('workers over NATS', { skip: skipNats }, async (t) => {
  await t.test('a queue in NATS', async (t) => {
    const nats = await natsOf(t, temporaryFolder('nats-queue'), 'queues', [])
    const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
    t.teardown(() => connection.close())
    let count = 0
    await queueConformance(t, async () => {
      const own = namesOf(`queue-${count++}`)
      const open = () => NatsQueue.open(connection, own, { silence: 1, pause: 50 })
      return { queue: await open(), worker: () => NatsQueue.open(connection, own, { pause: 50 }), again: open }
    })
  })

  await t.test('two workers, each with its rights: the bits of simulate', async (t) => {
    const { nats, place: made, joinAll, work, folder } = await place(t, { answers: 2 })
    const early = work(nats.files.worker)
    await early.seen('trouble', ({ code }) => code === 'E_UNREACHABLE' || code === 'E_CONFIG')
    const server = made.serve(t)
    await server.seen('listening')
    const late = work('--config', made.config)
    const joined = joinAll()
    await allJoin(t, joined)
    const { code, stdout, stderr } = await server.ended
    t.equal(code, 0, stderr)
    t.same(
      objects(stdout).filter(({ type }) => type === 'trouble'),
      [],
    )
    t.same(await servedAdapter(folder), await simulatedAdapter(folder, clients))
    await foldedOnce(t, nats)
    for (const worker of [early, late]) worker.child.kill('SIGTERM')
    const ends = await Promise.all([early.ended, late.ended])
    t.same(
      ends.map((end) => end.code),
      [143, 143],
    )
    const folds = ends.flatMap((end) => objects(end.stdout).filter(({ type }) => type === 'folded'))
    t.equal(folds.length, 6, 'they did all of it')
  })

  await t.test('workers, server and NATS killed again and again: the same adapter', async (t) => {
    const { nats, place: made, joinAll, work, folder } = await place(t, { answers: 1, silence: 1, deadline: 60 })
    let server = made.serve(t)
    await server.seen('listening')
    const joined = joinAll()
    const first = work(nats.files.worker)
    await first.seen('folded')
    first.child.kill('SIGKILL')
    await first.ended
    const stopped = work(nats.files.worker)
    await stopped.seen('folded')
    stopped.child.kill('SIGSTOP')
    server.child.kill('SIGKILL')
    await server.ended
    await nats.kill()
    await nats.restart()
    server = made.serve(t)
    await server.seen('listening')
    const last = work(nats.files.worker)
    await last.seen('folded')
    stopped.child.kill('SIGCONT')
    await allJoin(t, joined)
    t.match(await server.ended, { code: 0 })
    t.same(await servedAdapter(folder), await simulatedAdapter(folder, clients))
    await foldedOnce(t, nats)
  })

  await t.test('no worker at all: the server does it', async (t) => {
    const { nats, place: made, joinAll, folder } = await place(t, { deadline: 1 })
    const server = made.serve(t)
    await server.seen('listening')
    await allJoin(t, joinAll())
    const { code, stdout } = await server.ended
    t.equal(code, 0)
    t.equal(objects(stdout).filter(({ type }) => type === 'trouble').length, 3, 'and says so')
    t.same(await servedAdapter(folder), await simulatedAdapter(folder, clients))
    await foldedOnce(t, nats)
  })

  await t.test('a worker is refused what is not its own; a file that is not its own is refused', async (t) => {
    const { nats, work, folder } = await place(t, {})
    const { servers } = nats
    const connection = await connectNats({ servers, credentials: nats.seeds.worker, inbox: names.workerInbox })
    for (const subject of [names.journalSubject, names.ask('a'), names.work, `$KV.${names.leader}.leader`])
      await t.rejects(connection.request(subject, '{}', { timeout: 500 }), /ermission/, subject)
    await connection.close()
    t.match(await work(nats.files.clients.a!).ended, { code: 1, stdout: /E_TOKEN.*fedlora join/ })
    const joining = ['join', nats.files.worker, '--data', 'a.jsonl', '--model', '.', '--folder', 'x']
    t.match(await begin(t, joining, folder).ended, { stdout: /E_TOKEN.*fedlora aggregate/ })
    t.match(await work().ended, { code: 2, stderr: /expected FILE/ })
    t.match(await work('worker.json', '--config', 'federation.json').ended, { code: 2 })
  })

  await t.test('from a program', async (t) => {
    const { nats, place: made, joinAll, folder } = await place(t, {})
    const server = made.serve(t)
    await server.seen('listening')
    const stop = new AbortController()
    const events: WorkerEvent[] = []
    const working = runWorker({ nats: nats.files.worker, signal: stop.signal, onEvent: (event) => events.push(event) })
    await allJoin(t, joinAll())
    t.match(await server.ended, { code: 0 })
    stop.abort()
    await working
    t.equal(events.filter(({ type }) => type === 'folded').length, 3)
    t.same(await servedAdapter(folder), await simulatedAdapter(folder, clients))
  })
})

t.test('without NATS there are no workers', async (t) => {
  const made = new Place(temporaryFolder('no-nats'), 0, ['a'], { workers: {} })
  t.match(await made.serve(t).ended, { code: 2, stderr: /E_CONFIG: workers: .*nats/ })
})
