/** What a server, and a client, are told of NATS: what is wrong is refused before anything is reached. No NATS is needed. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ticketOf } from '../../src/cli/join/ticket.js'
import { planServer } from '../../src/cli/serve/sections.js'
import { joinFederation } from '../../src/client/index.js'
import { writeTicket } from '../../src/federated/nats/ticket.js'
import { initNats } from '../../src/nats/index.js'

const nats = { url: 'nats://127.0.0.1:4222' }
const sound = {
  folder: 'server',
  model: { path: '/nowhere' },
  data: { format: 'tokens' },
  federation: { rounds: 1, local: { steps: 1 } },
  nats,
}
const plan = async (changes: object) => (await planServer({}, { ...sound, ...changes })).config

t.test('the section nats of a server', async (t) => {
  t.match((await plan({})).nats, { space: 'fedlora', replicas: 1, lease: 10, quota: 2 ** 30 })
  for (const [section, message] of [
    [{}, /nats: url/],
    [{ url: 'https://fed.example.org' }, /nats: url: got "https:\/\/fed.example.org", expected nats:\/\/host:port/],
    [{ url: 'nats://a:1, ,nats://b:1' }, /nats: url/],
    [{ ...nats, space: 'x.y' }, /nats: space: got "x.y", expected up to 32 letters/],
    [{ ...nats, replicas: 6 }, /nats: replicas/],
    [{ ...nats, lease: Number.NaN }, /nats: lease/],
    [{ ...nats, lease: 0 }, /nats: lease/],
    [{ ...nats, quota: 1.5e6 + 0.5 }, /nats: quota/],
    [{ ...nats, monitor: 'file:///etc' }, /nats: monitor/],
    [
      { ...nats, tls: { certificate: 'c.pem' } },
      /nats: tls\.key: got nothing, expected a file beside tls\.certificate/,
    ],
    [{ ...nats, tls: { key: 'k.pem' } }, /nats: tls\.certificate: got nothing, expected a file beside tls\.key/],
    [{ ...nats, seed: 'SU' }, /nats: unknown key "seed"/],
    ['nats://127.0.0.1:4222', /nats/],
  ] as const) {
    await t.rejects(plan({ nats: section }), { code: 'E_CONFIG', message }, JSON.stringify(section))
  }
  t.match((await plan({ nats: { url: 'tls://a:1,tls://b:2' } })).nats, { url: 'tls://a:1,tls://b:2' }, 'canary')
})

t.test('clients come by HTTPS where there is no NATS, or a port is written down', async (t) => {
  const https = async (changes: object) => (await plan(changes)).https
  t.equal(await https({}), false)
  t.equal(await https({ listen: { admin: { port: 0 } } }), false)
  t.equal(await https({ listen: { port: 0 } }), true)
  t.equal(await https({ nats: undefined }), true)
})

t.test('one way to the server', async (t) => {
  const rest = { data: 'rows.jsonl', model: '/nowhere', folder: 'client' }
  for (const way of [{}, { nats: 'a.json', token: 'fedlora_AQ' }, { nats: '' }, { nats: 7 }, { nats: null }]) {
    t.throws(() => joinFederation({ ...rest, ...way } as never), { code: 'E_ARGUMENT' }, JSON.stringify(way))
  }
  const folder = t.testdir()
  const model = { ...rest, folder: join(folder, 'client'), nats: join(folder, 'nothing.json') }
  await t.rejects(async () => await joinFederation(model), { code: 'E_IO', message: /nothing\.json/ })
})

t.test('TOKEN, or --token-file, may be the file of nats init', async (t) => {
  const folder = t.testdir({ 'other.json': '{"a": 1}', token: 'fedlora_AQ' })
  const path = join(folder, 'a.json')
  await writeTicket(path, { ...nats, space: 's', client: 'a', credentials: 'SU' })
  t.equal(await ticketOf({ token: path }), path)
  t.equal(await ticketOf({ 'token-file': path }), path)
  for (const flags of [
    {},
    { token: '-' },
    { token: 'fedlora_AQ' },
    { 'token-file': join(folder, 'token') },
    { token: folder },
  ]) {
    t.equal(await ticketOf(flags), undefined, `a join token: ${JSON.stringify(flags).slice(0, 40)}`)
  }
  t.equal(await ticketOf({ token: path, 'token-file': path }), undefined, 'both are refused where tokens are read')
  await t.rejects(ticketOf({ token: join(folder, 'other.json') }), { code: 'E_TOKEN', message: /other\.json/ })
  for (const flag of ['proxy', 'authority', 'certificate', 'key']) {
    await t.rejects(ticketOf({ token: path, [flag]: 'x' }), {
      message: new RegExp(`--${flag}: belongs to a join token`),
    })
  }
  writeFileSync(path, '\u0000{')
  t.equal(await ticketOf({ token: path }), undefined)
})

t.test('where NATS listens is a host and a port, which stand in its configuration as they are', async (t) => {
  for (const wrong of ['http://127.0.0.1:8222', '8222', 'a b:1', '127.0.0.1:8222\n}', ':8222', '127.0.0.1:'])
    for (const field of ['listen', 'monitor']) {
      const made = initNats({ folder: t.testdir(), clients: ['a'], [field]: wrong })
      await t.rejects(made, { code: 'E_CONFIG', message: new RegExp(`${field}: got .*expected host:port`) }, wrong)
    }
  for (const listen of ['[::1]:4222', 'fed.example.org:4222', '0.0.0.0:-1'])
    await t.resolves(initNats({ folder: t.testdir(), clients: ['a'], listen }), listen)
})
