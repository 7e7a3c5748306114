/** The journal as a stream of JetStream: one writer, whole messages, nothing lost when the server is killed. */
import t from 'tap'
import { connectNats, jetstreams } from '../../src/federated/nats/connect.js'
import { checkDurable } from '../../src/federated/nats/durability.js'
import { NatsJournal } from '../../src/federated/nats/journal.js'
import { namesOf } from '../../src/federated/nats/names.js'
import { temporaryFolder } from '../support/train.js'
import { natsOf, skipNats } from './support/nats-server.js'

const all = async <R>(journal: NatsJournal<R>) => {
  const entries: [number, R][] = []
  for await (const { sequence, record } of journal.read()) entries.push([sequence, record])
  return entries
}

t.test('a stream as a journal', { skip: skipNats }, async (t) => {
  const folder = temporaryFolder('nats-journal')
  const nats = await natsOf(t, folder, 'test', ['a'])
  await checkDurable(nats.monitor)
  const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
  t.teardown(() => connection.close())
  const names = namesOf('test')
  const journal = await NatsJournal.open<{ n: number }>(connection, names)
  t.same(await all(journal), [])
  t.equal(await journal.append([{ n: 1 }, { n: 2 }], 0), 2)
  t.equal(await journal.append([{ n: 3 }], 2), 3)
  const together = await Promise.all([journal.append([{ n: 4 }], 3), journal.append([{ n: 5 }, { n: 6 }], 4)])
  t.same(together, [4, 6])
  const { jetstreamManager } = await jetstreams()
  const { streams } = await jetstreamManager(connection)
  const stored = async () => (await streams.info(names.journal)).state.messages
  const messages = await stored()
  t.equal(await journal.append([], 6), 6)
  t.equal(await stored(), messages, 'no record, no message')
  await t.rejects(journal.append([{ n: 9 }], 3), { code: 'E_JOURNAL_FENCED' }, 'a writer that is behind')

  const other = await NatsJournal.open<{ n: number }>(connection, names)
  t.same(
    await all(other),
    [1, 2, 3, 4, 5, 6].map((n) => [n, { n }]),
  )
  t.equal(await other.append([{ n: 7 }], 6), 7)
  await t.rejects(
    journal.append([{ n: 7 }], 6),
    { code: 'E_JOURNAL_FENCED' },
    'another server has taken over, with the same words',
  )
  await t.rejects(journal.append([{ n: 8 }], 7), { code: 'E_JOURNAL_FENCED' }, 'for good')
  await t.rejects(other.append([{ n: 8, s: 'x'.repeat(2e6) } as never], 7), { code: 'E_TOO_LARGE' })

  const writing = (async () => {
    for (let n = 8; n <= 60; n++) await other.append([{ n }], n - 1)
  })()
  await nats.kill()
  await nats.restart()
  await writing
  const third = await NatsJournal.open<{ n: number }>(connection, names)
  t.same(
    await all(third),
    Array.from({ length: 60 }, (_, i) => [i + 1, { n: i + 1 }]),
    'all are there, once',
  )
})
