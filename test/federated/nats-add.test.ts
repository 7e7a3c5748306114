/** `fedlora nats add`: a client that comes later, to a NATS that runs; who is in stays in, and connected. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readTicket } from '../../src/federated/nats/ticket.js'
import { addNatsClients, connectNats, initNats, namesOf, tokenOf } from '../../src/nats/index.js'
import { fedlora } from '../support/command.js'
import { temporaryFolder } from '../support/train.js'
import { natsOf, skipNats } from './support/nats-server.js'

const names = namesOf('test')

t.test('files: a further user, and nothing else changes', async (t) => {
  const folder = join(t.testdir(), 'nats')
  const made = await initNats({ folder, space: 'test', clients: ['a', 'Ost "ä'] })
  const before = readFileSync(made.config, 'utf8')
  const added = await addNatsClients({ folder, clients: ['b', 'c'] })
  const after = readFileSync(made.config, 'utf8')
  const lines = before.split('\n')
  t.same(
    after.split('\n').filter((line) => lines.includes(line)),
    lines,
    'what was there is there',
  )
  t.equal(after.split('\n').length, lines.length + 4)
  t.match(after, /# "b"\n +\{ nkey: U[A-Z2-7]+, permissions: .*fl\.test\.ask\.b"/)
  t.same(Object.keys(added.clients), ['b', 'c'])
  t.equal(statSync(added.clients.b!).mode & 0o777, 0o600)
  const { credentials: _, client, ...place } = await readTicket(added.clients.c!)
  const { credentials: __, client: ___, ...known } = await readTicket(made.clients.a!)
  t.same([client, place], ['c', known])
  for (const again of ['a', 'b', 'Ost "ä']) {
    await t.rejects(addNatsClients({ folder, clients: [again] }), { code: 'E_ARGUMENT', message: /is there already/ })
  }
  await t.rejects(addNatsClients({ folder, clients: ['A'] }), { code: 'E_CONFIG' }, 'files cannot tell it apart')
  await t.rejects(addNatsClients({ folder, clients: [] }), { code: 'E_CONFIG' })
  await t.rejects(addNatsClients({ folder: join(folder, 'no'), clients: ['d'] }), { code: 'E_IO' })
  t.equal(readFileSync(made.config, 'utf8'), after, 'refused, it writes nothing')
  writeFileSync(made.config, after.replace('\n    ]\n', '\n    ] # mine\n'))
  await t.rejects(addNatsClients({ folder, clients: ['d'] }), { code: 'E_CONFIG', message: /list of users/ })
  rmSync(folder, { recursive: true })
})

t.test('a NATS that runs lets it in when it reads its configuration again', { skip: skipNats }, async (t) => {
  const folder = temporaryFolder('nats-add')
  const nats = await natsOf(t, folder, 'test', ['a'])
  await nats.kill() // its configuration names ports by now: other ones cannot be read again
  await nats.restart()
  const as = (client: string, credentials: string) =>
    connectNats({ servers: nats.servers, credentials, inbox: names.inbox(tokenOf(client)) })
  const a = await as('a', nats.seeds.clients.a!)
  const { code, stderr } = await fedlora(['nats', 'add', '--folder', join(folder, 'nats'), '--clients', 'late'], {
    cwd: folder,
  })
  t.equal(code, 0, stderr)
  const { credentials } = await readTicket(join(folder, 'nats', 'clients', 'late.json'))
  await t.rejects(as('late', credentials), { code: 'E_AUTH' }, 'canary: not before')
  nats.reload()
  for (let tries = 0; ; tries++) {
    const late = await as('late', credentials).catch((error: unknown) => {
      if (tries > 100) throw error
    })
    if (late === undefined) continue
    t.equal(late.isClosed(), false, 'it is in')
    await late.close()
    break
  }
  await a.flush()
  t.equal(a.stats().inMsgs >= 0 && !a.isClosed(), true, 'who was in is connected')
  await a.close()
  const refused = await fedlora(['nats', 'add', '--folder', join(folder, 'nats'), '--clients', 'b', '--space', 'x'])
  t.match(refused, { code: 2, stderr: /--space: NATS is configured already/ })
})
