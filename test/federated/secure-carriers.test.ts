/** Secure aggregation through the doors of the package, over HTTPS and over NATS: the bits of `simulate`, and a page that tells the phase. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type JoinFederationOptions, joinFederation } from '../../src/client/index.js'
import { connectNats, NatsLink, NatsServer, namesOf, tokenOf } from '../../src/nats/index.js'
import { createServer, type FederationServer } from '../../src/server/index.js'
import { temporaryFolder } from '../support/train.js'
import { skipNats, startNats } from './support/nats-server.js'
import {
  adapter,
  adapterIn,
  federation,
  newKey,
  openModel,
  path,
  rowsOf,
  simulated,
} from './support/secure-federation.js'

const names = ['a', 'b', 'c']
const model = await openModel()
t.teardown(() => model.dispose())
const rows = await rowsOf(names)
const expected = await simulated(model, rows, federation, names)

type Way = Pick<JoinFederationOptions, 'token' | 'link'>

async function play(
  t: Test,
  open: (server: FederationServer) => Promise<{ wayOf(name: string): Promise<Way>; close(): Promise<void> }>,
) {
  const root = temporaryFolder('secure-carried')
  const phases: string[] = []
  const server = await createServer(
    {
      folder: join(root, 'server'),
      listen: { host: '127.0.0.1', port: 0, admin: { port: 0 } },
      clients: { minimum: names.length },
      model: { path, quantization: 'nf4' },
      adapter,
      data: { format: 'tokens' },
      federation,
    },
    (event) => {
      if (event.type === 'phase') phases.push(`${event.round} ${event.phase}`)
    },
  )
  const { wayOf, close } = await open(server)
  const results = await Promise.all(
    names.map(async (name, i) =>
      joinFederation({ ...(await wayOf(name)), data: rows[i]!, model, folder: join(root, name) }),
    ),
  )
  await server.over
  await close()
  await server.close()
  t.same(
    results.map(({ counted }) => counted),
    [2, 2, 2],
  )
  t.ok(adapterIn(join(root, 'server')).equals(expected.bytes), "simulate's bits")
  const each = ['shares', 'masked', 'signed', 'revealed', 'done']
  t.same(
    phases,
    [1, 2].flatMap((round) => each.map((phase) => `${round} ${phase}`)),
  )
}

t.test('over HTTPS', async (t) => {
  await play(t, async (server) => ({
    wayOf: async (name) => ({ token: await server.invite(name) }),
    close: async () => {},
  }))
})

t.test('over NATS', { skip: skipNats }, async (t) => {
  const nats = await startNats(temporaryFolder('secure-nats'), 'test', names)
  t.teardown(() => nats.kill())
  const space = namesOf('test')
  await play(t, async (server) => {
    const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
    const carrier = await NatsServer.open({ connection, names: space, door: server.door, registry: server.door })
    const refused = await connectNats({
      servers: nats.servers,
      credentials: nats.seeds.clients.a!,
      inbox: space.inbox(tokenOf('a')),
    })
    await t.rejects(NatsLink.open({ connection: refused, names: space, client: 'a', key: 'key of a', owned: true }), {
      code: 'E_AUTH',
      message: /expected an Ed25519 public key/,
    })
    await refused.close()
    const open: NatsLink[] = []
    return {
      async wayOf(client) {
        const own = await connectNats({
          servers: nats.servers,
          credentials: nats.seeds.clients[client]!,
          inbox: space.inbox(tokenOf(client)),
        })
        const link = await NatsLink.open({ connection: own, names: space, client, ...newKey(), owned: true })
        open.push(link)
        return { link }
      },
      async close() {
        await Promise.all(open.map((link) => link.close()))
        await carrier.close()
        await connection.close()
      },
    }
  })
})
