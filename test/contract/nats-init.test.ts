/** `fedlora nats init`: files for an operator that a real server takes, and refusals of what it could not. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readTicket } from '../../src/federated/nats/ticket.js'
import { initNats } from '../../src/nats/index.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('nats-init')
t.teardown(() => rmSync(root, { recursive: true, force: true }))

t.test('a configuration, and a private file for every user that only its owner reads', async (t) => {
  const folder = join(root, 'one')
  const made = await initNats({ folder, clients: ['ward-1', 'Ost ä/..'] })
  const text = readFileSync(made.config, 'utf8')
  t.match(text, /sync_interval: always/)
  t.match(text, /fl\.fedlora\.ask\.ward-1/)
  t.same(Object.keys(made.clients), ['ward-1', 'Ost ä/..'])
  for (const path of [made.server, ...Object.values(made.clients)]) {
    t.ok(path.startsWith(folder), 'nothing is written elsewhere, whatever a name says')
    t.equal(statSync(path).mode & 0o777, 0o600)
  }
  const seed = readFileSync(made.server, 'utf8')
  t.match(seed, /^SU[A-Z2-7]+\n$/)
  t.notOk(text.includes(seed.trim()), 'no private key in the configuration')
  for (const [name, path] of Object.entries(made.clients)) {
    const ticket = await readTicket(path)
    t.match(ticket, { client: name, space: 'fedlora', credentials: /^SU[A-Z2-7]+$/ })
    t.equal(ticket.url, `nats://${hostname()}:4222`, 'where it listens everywhere: the name of this machine')
    t.notOk(text.includes(ticket.credentials))
  }
  await t.rejects(initNats({ folder, clients: ['a'] }), { code: 'E_ARGUMENT' }, 'not over another one')
})

t.test('a client may speak and hear as itself alone', async (t) => {
  const made = await initNats({ folder: join(root, 'two'), space: 'study', clients: ['a', 'b'] })
  const [worker, a, b] = readFileSync(made.config, 'utf8')
    .split('\n')
    .filter((line) => line.includes('permissions')) as [string, string, string]
  const foreign = (line: string, other: string) =>
    [`ask.${other}"`, `known.${other}"`, `offer.${other}"`, `up_${other}`, `_INBOX_study_${other}`].filter((part) =>
      line.includes(part),
    )
  t.same(foreign(a, 'b'), [])
  t.same(foreign(b, 'a'), [])
  t.equal(foreign(a, 'a').length, 5, 'canary: its own are there')
  t.same([...foreign(worker, 'a'), ...foreign(worker, 'b')], [], 'a worker is none of them')
  for (const part of ['journal', 'leader', 'offers', 'down']) t.notOk(worker.includes(part), part)
})

for (const [what, options, code] of [
  ['no clients', { clients: [] }, 'E_CONFIG'],
  ['a name twice', { clients: ['a', 'a'] }, 'E_CONFIG'],
  ['names that files cannot tell apart', { clients: ['a', 'A'] }, 'E_CONFIG'],
  ['a space that cannot be part of a subject', { clients: ['a'], space: 'x.y' }, 'E_CONFIG'],
  ['a certificate without its key', { clients: ['a'], cert: 'c.pem' }, 'E_CONFIG'],
  ['an address that is none', { clients: ['a'], url: 'fed.example.org:4222' }, 'E_CONFIG'],
  ['an authority that is not there', { clients: ['a'], authority: 'no.pem' }, 'E_IO'],
  ['an unknown option', { clients: ['a'], port: 1 }, 'E_CONFIG'],
] as const) {
  t.test(`refused: ${what}`, async (t) => {
    const folder = join(root, 'refused')
    await t.rejects(initNats({ folder, ...options } as never), { code })
    t.throws(() => statSync(folder), 'nothing was written')
  })
}

t.test('where clients reach NATS, and whom they believe', async (t) => {
  const pem = join(root, 'ca.pem')
  writeFileSync(pem, 'PEM\n')
  const of = async (options: object) => {
    const { clients } = await initNats({ folder: t.testdir(), clients: ['a'], ...options })
    return await readTicket(clients.a!)
  }
  const tls = { cert: 'c.pem', key: 'k.pem' }
  t.match(await of({ listen: '10.0.0.1:99' }), { url: 'nats://10.0.0.1:99' })
  t.match(await of({ listen: '[::]:99', ...tls, authority: pem }), {
    url: `tls://${hostname()}:99`,
    authority: 'PEM\n',
  })
  t.match(await of({ url: 'tls://x:1,tls://y:2' }), { url: 'tls://x:1,tls://y:2' })
})

t.test('a file that is no ticket is refused in words', async (t) => {
  const path = join(root, 'ticket.json')
  const sound = { fedlora: 'nats', version: 1, url: 'nats://h:1', space: 's', client: 'a', credentials: 'SU' }
  const read = async (text: string) => {
    writeFileSync(path, text)
    return await readTicket(path)
  }
  for (const [text, why] of [
    ['fedlora_AQ', /it is no JSON/],
    ['[]', /no file of `fedlora nats init`/],
    [JSON.stringify({ ...sound, version: 2 }), /version/],
    [JSON.stringify({ ...sound, url: 'https://h:1' }), /url: expected nats:/],
    [JSON.stringify({ ...sound, client: '' }), /client/],
    [JSON.stringify({ ...sound, more: 1 }), /more/],
    [`{"__proto__": ${JSON.stringify(sound)}}`, /fedlora/],
  ] as const) {
    await t.rejects(read(text), { code: 'E_TOKEN', message: why }, text.slice(0, 40))
  }
  await t.rejects(readTicket(join(root, 'nothing')), { code: 'E_IO' })
  t.match(await read(JSON.stringify(sound)), { client: 'a' }, 'canary: the rest is sound')
})
