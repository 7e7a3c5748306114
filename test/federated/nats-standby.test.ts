/** Two servers of one federation over a real NATS: one leads, the other stands by. The lease decides who serves, the journal who may write. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { connectNats, NatsJournal, namesOf } from '../../src/nats/index.js'
import { fedlora, objects } from '../support/command.js'
import { temporaryFolder } from '../support/train.js'
import { natsOf, type RunningNats, skipNats } from './support/nats-server.js'
import { begin, Place, servedAdapter, simulatedAdapter } from './support/served.js'

const clients = ['a', 'b']
const names = namesOf('test')

/** Two servers over one configuration, each with a folder of its own, and the clients of both. */
async function pair(t: Test) {
  const folder = temporaryFolder('nats-standby')
  const nats = await natsOf(t, folder, 'test', clients)
  const place = new Place(folder, 0, clients, {
    listen: { admin: { port: 0 } },
    nats: { url: nats.servers, credentials: nats.files.server, space: 'test', lease: 1 },
  })
  const serve = (own: string) => begin(t, ['serve', '--config', place.config, '--folder', join(folder, own)], folder)
  const joinAll = () => clients.map((name) => place.join(t, nats.files.clients[name]!, name))
  return { nats, place, folder, serve, joinAll }
}

/** The journal in NATS holds every answer, round and commit of the federation once. */
async function countedOnce(t: Test, nats: RunningNats): Promise<void> {
  const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
  const journal = await NatsJournal.open<{ type: string }>(connection, names)
  const counts: Record<string, number> = { accepted: 0, commit: 0, begin: 0 }
  for await (const { record } of journal.read()) if (record.type in counts) counts[record.type]!++
  await connection.close()
  t.same(counts, { accepted: 6, commit: 3, begin: 3 }, 'each once')
}

const ofType = ({ stdout }: { stdout: string }, type: string) => objects(stdout).filter((event) => event.type === type)

t.test('a server that stands by', { skip: skipNats }, async (t) => {
  await t.test('takes over in the middle of a round from one that is killed, with the bits of simulate', async (t) => {
    const { place, folder, serve, joinAll, nats } = await pair(t)
    const first = serve('first')
    await first.seen('listening')
    const second = serve('second')
    t.match(await second.seen('standby'), { pid: first.child.pid, since: Number })
    const joined = joinAll()
    // One of two answers counts already when the first server dies.
    await first.seen('client', ({ round }) => round === 2)
    first.child.kill('SIGKILL')
    await first.ended
    await second.seen('listening')
    for (const client of joined) t.match(await client.ended, { code: 0, stderr: /3 answers of this client counted/ })
    const { code, stdout } = await second.ended
    t.equal(code, 0)
    t.ok(
      objects(stdout).findIndex(({ type }) => type === 'standby') <
        objects(stdout).findIndex(({ type }) => type === 'listening'),
    )
    t.same(await servedAdapter(folder, 'second'), await simulatedAdapter(folder, clients))
    await countedOnce(t, nats)
    t.match(await place.operate('status'), { code: 0, stdout: /"state":"finished"/ }, 'from a third folder')
  })

  await t.test('stopped, replaced and continued: it writes nothing, and says so', async (t) => {
    const { folder, serve, joinAll, nats } = await pair(t)
    const first = serve('first')
    await first.seen('listening')
    const second = serve('second')
    await second.seen('standby')
    const joined = joinAll()
    await first.seen('client', ({ round }) => round === 1)
    first.child.kill('SIGSTOP')
    await second.seen('listening')
    first.child.kill('SIGCONT')
    const old = await first.ended
    t.match(old, {
      code: 1,
      stdout: /E_JOURNAL_FENCED/,
      stderr: /E_JOURNAL_FENCED: .*process \d+ on .* has taken over/,
    })
    for (const client of joined) t.match(await client.ended, { code: 0, stderr: /3 answers of this client counted/ })
    t.match(await second.ended, { code: 0 })
    t.same(await servedAdapter(folder, 'second'), await simulatedAdapter(folder, clients))
    await countedOnce(t, nats)
    t.ok(ofType(old, 'round').length + ofType(await second.ended, 'round').length >= 3)
  })

  await t.test('leads at once when the other ends in order; an operator is told who leads', async (t) => {
    const { folder, serve, place } = await pair(t)
    const first = serve('first')
    await first.seen('listening')
    const second = serve('second')
    await second.seen('standby')
    const word = await fedlora(['federation', 'pause', '--config', place.config, '--json'], { cwd: folder })
    t.match(word, { code: 1, stdout: /E_LOCKED.*process \d+ on .* serves this federation/ }, 'a word from elsewhere')
    first.child.kill('SIGTERM')
    t.match(await first.ended, { code: 143 })
    await second.seen('listening')
    second.child.kill('SIGTERM')
    t.match(await second.ended, { code: 143 })
    const third = serve('first')
    await third.seen('listening')
    const fourth = serve('second')
    await fourth.seen('standby')
    fourth.child.kill('SIGTERM')
    t.match(await fourth.ended, { code: 143 }, 'also while it stands by')
  })
})
