/** The link over a real NATS server, under the suite of all links; every client with the rights that `natsConfig` gives it, and no others. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { Door, Registry } from '../../src/federated/link/link.js'
import { connectNats, type NatsConnection } from '../../src/federated/nats/connect.js'
import { NatsLink } from '../../src/federated/nats/link.js'
import { namesOf, tokenOf } from '../../src/federated/nats/names.js'
import { NatsServer } from '../../src/federated/nats/serve.js'
import { temporaryFolder } from '../support/train.js'
import { type Carrier, conformance } from './support/conformance.js'
import { skipNats, startNats } from './support/nats-server.js'

const space = 'test'
const names = namesOf(space)

/** The server as it is at every call. */
const ofNow = (server: () => Coordinator): Door & Registry => ({
  describe: () => server().describe(),
  next: async (...parts) => await server().next(...parts),
  say: async (...parts) => await server().say(...parts),
  read: async (...parts) => await server().read(...parts),
  offset: async (...parts) => await server().offset(...parts),
  write: async (...parts) => await server().write(...parts),
  enroll: async (...parts) => await server().enroll(...parts),
  admit: async (...parts) => await server().admit(...parts),
  clientOf: (key) => server().clientOf(key),
  invite: async (...parts) => await server().invite(...parts),
  revoke: async (...parts) => await server().revoke(...parts),
})

const root = temporaryFolder('nats-conformance')
t.teardown(() => rmSync(root, { recursive: true, force: true }))

const throughNats: Carrier = {
  name: 'nats',
  deaths: 7,
  async open(server) {
    const nats = await startNats(mkdtempSync(join(root, 'nats-')), space, ['a', 'b', 'c', 'd'])
    const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
    const door = ofNow(server)
    const served = await NatsServer.open({ connection, names, door, registry: door, quota: 2 ** 20 })
    const clients: NatsConnection[] = []
    return {
      async join(client) {
        const own = await connectNats({
          servers: nats.servers,
          credentials: nats.seeds.clients[client]!,
          inbox: names.inbox(tokenOf(client)),
        })
        clients.push(own)
        for (;;) {
          try {
            return await NatsLink.open({ connection: own, names, client, key: `key of ${client}` })
          } catch (error) {
            if ((error as { code?: string }).code !== 'E_UNREACHABLE') throw error
            await new Promise<void>((resolve) => setImmediate(resolve))
          }
        }
      },
      async close() {
        await served.close()
        for (const one of [...clients, connection]) await one.close()
        await nats.kill()
      },
    }
  },
}

t.test('through NATS', { skip: skipNats }, (t) => conformance(t, throughNats))
