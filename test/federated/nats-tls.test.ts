/** A NATS that is encrypted: its certificate is checked against the authority that a client's file, or the server's section, names. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { joinNats } from '../../src/client/join-nats.js'
import { makeAuthority, makeServerCertificate } from '../../src/federated/https/certificates.js'
import { readTicket, writeTicket } from '../../src/federated/nats/ticket.js'
import { connectNats } from '../../src/nats/index.js'
import { temporaryFolder } from '../support/train.js'
import { natsOf, skipNats } from './support/nats-server.js'

t.test('through TLS', { skip: skipNats }, async (t) => {
  const root = temporaryFolder('nats-tls')
  const authority = await makeAuthority('test')
  const { certificate, key } = await makeServerCertificate(authority, ['127.0.0.1'])
  const file = (name: string, text: string) => {
    writeFileSync(join(root, name), text)
    return join(root, name)
  }
  const tls = {
    cert: file('cert.pem', certificate),
    key: file('key.pem', key),
    authority: file('ca.pem', authority.certificate),
  }
  const nats = await natsOf(t, root, 'test', ['a'], tls)
  const ticket = await readTicket(nats.files.clients.a!)
  t.match(ticket, { url: /^tls:\/\/127\.0\.0\.1:\d+$/, authority: authority.certificate })
  const never = new AbortController().signal
  const join_ = (path: string) => joinNats(path, join(root, 'client'), never)
  // Nobody serves: who gets so far has been let in by NATS, and believes it.
  await t.rejects(join_(nats.files.clients.a!), { code: 'E_UNREACHABLE', message: /asking the server \(enroll\)/ })
  const other = await makeAuthority('test')
  const path = join(root, 'other.json')
  await writeTicket(path, { ...ticket, authority: other.certificate })
  await t.rejects(join_(path), { code: 'E_AUTH', message: /not believed/ }, 'another authority of the same name')
  const { authority: _, ...none } = ticket
  await writeTicket(path, none)
  await t.rejects(join_(path), { code: 'E_AUTH', message: /not believed/ }, 'those of this machine')
  await writeTicket(path, { ...ticket, url: ticket.url.replace('127.0.0.1', 'localhost') })
  await t.rejects(join_(path), { code: 'E_AUTH', message: /not believed/ }, 'a name that the certificate does not have')
  await writeTicket(path, { ...ticket, credentials: 'a token' })
  await t.rejects(join_(path), { code: 'E_AUTH' }, 'a token where an nkey is asked for')
  const server = await connectNats({
    servers: ticket.url,
    credentials: nats.seeds.server,
    tls: { authority: authority.certificate },
  })
  t.notOk(server.isClosed(), "canary: the server's own seed")
  await server.close()
})

t.test('an address of tls:// is never spoken to openly', { skip: skipNats }, async (t) => {
  const root = temporaryFolder('nats-open')
  const nats = await natsOf(t, root, 'test', ['a'])
  const as = (servers: string) => connectNats({ servers, credentials: nats.seeds.server })
  await t.rejects(as(nats.servers.replace('nats:', 'tls:')), { code: 'E_UNREACHABLE' })
  await (await as(nats.servers)).close()
})
