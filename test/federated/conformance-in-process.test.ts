/** The link within one process, under the suite of all links. */
import t from 'tap'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import { type Carrier, conformance } from './support/conformance.js'

const inProcess: Carrier = {
  name: 'in-process',
  deaths: 1,
  async open(server) {
    return {
      async join(name) {
        for (;;) {
          try {
            const { token } = await server().invite(name, 60)
            await server().enroll(token, `key of ${name}`)
            return new InProcessLink(server, name)
          } catch {
            await new Promise<void>((resolve) => setImmediate(resolve))
          }
        }
      },
      close: async () => {},
    }
  },
}

await conformance(t, inProcess)
