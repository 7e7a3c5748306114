/** A real server and real clients over TLS, whose federation may die and come back behind it. */
import { join } from 'node:path'
import { joinServer } from '../../../src/federated/https/client/join.js'
import { limitsSchema, listenSchema, tlsSchema } from '../../../src/federated/https/options.js'
import { serveHttps } from '../../../src/federated/https/server/serve.js'
import type { Door, Registry } from '../../../src/federated/link/link.js'
import { type Carrier, ofNow } from './conformance.js'
import type { Line } from './line.js'

let clients = 0

/** @param folder - for what server and clients keep; @param line - through which clients come; undefined: straight. */
export function httpsCarrier(folder: string, line?: Line): Omit<Carrier, 'name' | 'deaths'> {
  return {
    async open(server) {
      const behind: Door & Registry = ofNow(server)
      const publicUrl = line === undefined ? undefined : `https://127.0.0.1:${line.port}`
      const served = await serveHttps({
        door: behind,
        registry: behind,
        run: (await server().describe()).run,
        folder,
        listen: listenSchema.parse({ host: '127.0.0.1', port: 0, publicUrl }),
        tls: tlsSchema.parse(undefined),
        limits: limitsSchema.parse({
          drainSeconds: 0,
          clientRate: { perSecond: 1e6, burst: 1e6 },
          strangerRate: { perSecond: 1e6, burst: 1e6 },
        }),
      })
      line?.to(served.port)
      return {
        async join(name) {
          const own = join(folder, `client-${clients++}`)
          for (;;) {
            try {
              return (await joinServer(await served.invite(name, 60), own)).link
            } catch {
              await new Promise<void>((resolve) => setImmediate(resolve))
            }
          }
        },
        close: () => served.close(),
      }
    },
  }
}
