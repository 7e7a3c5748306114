/** Rows never leave, over HTTPS: every byte on the wire and under its encryption, URLs, header fields and handshakes included, is looked at. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { joinServer } from '../../src/federated/https/client/join.js'
import { limitsSchema, listenSchema } from '../../src/federated/https/options.js'
import { serveHttps } from '../../src/federated/https/server/serve.js'
import { openIdentity } from '../../src/federated/https/tls-folder.js'
import type { ParticipantEvent } from '../../src/federated/participant/events.js'
import { takePart } from '../../src/federated/participant/join.js'
import { temporaryFolder } from '../support/train.js'
import { found, openFederation, path, rows } from './support/secrets.js'
import { openWireTap } from './support/wire-tap.js'

const root = temporaryFolder('never-leaves-https')
t.teardown(() => rmSync(root, { recursive: true }))

t.test('nothing of the rows is in what two clients send over HTTPS', async (t) => {
  const coordinator = await openFederation()
  const { run } = await coordinator.describe()
  const folder = join(root, 'server')
  const identity = await openIdentity(folder, { names: [] }, ['localhost'], run)
  const tap = await openWireTap(identity)
  const served = await serveHttps({
    door: coordinator,
    registry: coordinator,
    run,
    folder,
    listen: listenSchema.parse({ host: '127.0.0.1', port: 0, publicUrl: `https://localhost:${tap.port}` }),
    tls: false,
    limits: limitsSchema.parse({ drainSeconds: 0 }),
  })
  tap.to(served.port)
  const authority = join(root, 'authority.pem')
  writeFileSync(authority, identity.chain)
  const joined = async (client: string) =>
    await joinServer(await served.invite(client, 60), join(root, `${client}-key`), { authority })
  const events: ParticipantEvent[] = []
  await Promise.all(
    ['a', 'b'].map(async (client, i) => {
      const data = join(root, `${client}.jsonl`)
      writeFileSync(data, rows.flatMap((row, at) => (at % 2 === i ? `${JSON.stringify(row)}\n` : [])).join(''))
      const connect = () => joined(client)
      const part = takePart(connect, { model: path, data, folder: join(root, client), threads: 1 })
      for await (const event of part) events.push(event)
    }),
  )
  await coordinator.over
  t.equal(events.filter((event) => event.type === 'outcome' && event.counted).length, 4)
  const sent = tap.sent()
  const text = Buffer.concat(sent).toString('latin1')
  for (const part of ['POST /v1/enroll HTTP/1.1', 'GET /v1/next?settled=', 'PATCH /v1/blobs/', 'signature-input: '])
    t.ok(text.includes(part), `it sees ${part}`)
  t.same([...tap.names], ['localhost false'], 'handshakes name the host that the token names')
  t.same(found(sent), [])

  const { link } = await joined('liar')
  const before = tap.sent().length
  await link.ask('GET', `/v1/run?${encodeURIComponent(rows[0]!.output).slice(0, 100)}`, new AbortController().signal)
  await link.say({ type: 'failed', round: 2, code: 'E_IO', why: rows[1]!.output }, new AbortController().signal)
  t.ok(tap.sent().length > before)
  t.ok(found(tap.sent()).length > 0, 'canary: a client that sends a row is found')
  await link.close()
  await served.close()
  await coordinator.close()
  tap.close()
})
