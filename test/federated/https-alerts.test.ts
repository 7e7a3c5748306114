/** Alerts of TLS that were not encrypted may be anybody's: a client that gets one comes again; one that the server's own TLS has sent ends it. */
import { createServer } from 'node:net'
import t from 'tap'
import { answerTo, Connection, connectionError } from '../../src/federated/https/client/connection.js'

const never = new AbortController().signal
const fatal = 2

/** RFC 8446 §6: the numbers of alerts about certificates. */
for (const [name, number] of Object.entries({
  bad: 42,
  unsupported: 43,
  revoked: 44,
  expired: 45,
  unknown: 46,
  authority: 48,
  denied: 49,
})) {
  t.test(`an alert in place of a handshake: ${name}`, async (t) => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).once('data', () => socket.end(Buffer.of(21, 3, 3, 0, 2, fatal, number)))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const address = `https://127.0.0.1:${(server.address() as { port: number }).port}`
    const connection = new Connection(address, {}, {})
    const request = connection.begin('GET', '/v1/run', {}, never)
    request.end()
    await t.rejects(answerTo(request, address, never), { code: 'E_UNREACHABLE' })
    connection.close()
  })
}

t.test('canary: the same alert on a connection that stands', (t) => {
  const error = new Error('ssl3_read_bytes:tlsv13 alert certificate required:SSL alert number 116')
  t.equal(connectionError(error, 'https://server').code, 'E_AUTH')
  t.end()
})
