/** HTTPS under the suite of all links: a real server and real clients over TLS, whose federation dies and comes back behind it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { joinServer } from '../../src/federated/https/client/join.js'
import { limitsSchema, listenSchema, tlsSchema } from '../../src/federated/https/options.js'
import { serveHttps } from '../../src/federated/https/server/serve.js'
import type { Door, Registry } from '../../src/federated/link/link.js'
import { type Carrier, conformance } from './support/conformance.js'

const folder = mkdtempSync(join(tmpdir(), 'fedlora-https-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
let clients = 0

const https: Carrier = {
  name: 'https',
  deaths: 13,
  async open(server) {
    const behind: Door & Registry = {
      describe: async () => await server().describe(),
      next: async (client, known, signal) => await server().next(client, known, signal),
      say: async (client, word) => await server().say(client, word),
      read: async (client, blob, from) => await server().read(client, blob, from),
      offset: async (client, blob) => await server().offset(client, blob),
      write: async (client, ref, from, chunks) => await server().write(client, ref, from, chunks),
      enroll: async (token, key) => await server().enroll(token, key),
      admit: async (client, key) => await server().admit(client, key),
      clientOf: (key) => server().clientOf(key),
      invite: async (name, seconds) => await server().invite(name, seconds),
      revoke: async (name) => await server().revoke(name),
    }
    const served = await serveHttps({
      door: behind,
      registry: behind,
      run: (await server().describe()).run,
      folder,
      listen: listenSchema.parse({ host: '127.0.0.1', port: 0 }),
      tls: tlsSchema.parse(undefined),
      limits: limitsSchema.parse({ drainSeconds: 1, clientRate: { perSecond: 1e6, burst: 1e6 } }),
    })
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

await conformance(t, https)
