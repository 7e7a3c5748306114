/** A real NATS server between a federation and its clients, each with the rights that `natsConfig` gives it, and no others. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { connectNats, type NatsConnection } from '../../../src/federated/nats/connect.js'
import { NatsLink } from '../../../src/federated/nats/link.js'
import { namesOf, tokenOf } from '../../../src/federated/nats/names.js'
import { NatsServer } from '../../../src/federated/nats/serve.js'
import { type Carrier, ofNow } from './conformance.js'
import type { Line } from './line.js'
import { startNats } from './nats-server.js'

const space = 'test'
const names = namesOf(space)

/** @param root - for the files of NATS; @param line - through which clients come; undefined: straight. */
export function natsCarrier(root: string, line?: Line): Omit<Carrier, 'name' | 'deaths'> {
  return {
    async open(server) {
      const nats = await startNats(mkdtempSync(join(root, 'nats-')), space, ['a', 'b', 'c', 'd'])
      line?.to(Number(new URL(nats.servers).port))
      const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
      const door = ofNow(server)
      const served = await NatsServer.open({ connection, names, door, registry: door, quota: 2 ** 20 })
      const clients: NatsConnection[] = []
      return {
        async join(client) {
          for (;;) {
            try {
              const own = await connectNats({
                servers: line === undefined ? nats.servers : `nats://127.0.0.1:${line.port}`,
                credentials: nats.seeds.clients[client]!,
                inbox: names.inbox(tokenOf(client)),
              })
              clients.push(own)
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
}
