/** A blob on its way to a client: no faster than it reads, from any byte on, and no further once it is gone. */
import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { sendBlob } from '../../src/federated/https/server/blobs.js'
import { Exchange } from '../../src/federated/https/server/exchange.js'
import type { Door } from '../../src/federated/link/link.js'

const chunk = new Uint8Array(1 << 20)
const chunks = 256

function resolvable() {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve: () => resolve() }
}

/** A server whose one blob has 256 MiB, and what it has read of it. */
async function serve(t: Test) {
  const seen = { read: 0, ended: 0, whole: resolvable() }
  const door = {
    read: async (_client: string, _blob: string, from: number) => ({
      bytes: chunks * chunk.length,
      chunks: (async function* () {
        for (let at = from; at < chunks * chunk.length; at += chunk.length) {
          seen.read++
          yield chunk
        }
      })(),
    }),
  } as unknown as Door
  const server = createServer(async (request, response) => {
    await sendBlob(new Exchange(request, response, {} as never, '', '', ''), door, 'ab'.repeat(32))
    seen.ended++
    seen.whole.resolve()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const ask = async (headers: Record<string, string> = {}) => {
    const request = get({ port, host: '127.0.0.1', headers, agent: false })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { request, response }
  }
  /** Until it reads no more by itself. */
  const standstill = async () => {
    for (let before = -1, still = 0; still < 10; before = seen.read) {
      still = seen.read === before ? still + 1 : 0
      await sleep(20)
    }
  }
  return { seen, ask, standstill }
}

t.test('to a client that does not read, it waits; the sockets of a machine hold a few megabytes', async (t) => {
  const { seen, ask, standstill } = await serve(t)
  const { response } = await ask()
  await standstill()
  t.ok(seen.read < chunks / 4, `${seen.read} of ${chunks} MiB were read`)
  t.equal(seen.ended, 0)
  let bytes = 0
  for await (const part of response) bytes += part.length
  t.equal(bytes, chunks * chunk.length)
  await seen.whole.promise
  t.equal(seen.read, chunks)
})

t.test('a client that goes while it waits', async (t) => {
  const { seen, ask, standstill } = await serve(t)
  const { request } = await ask()
  await standstill()
  request.destroy()
  await seen.whole.promise
  t.ok(seen.read < chunks / 4, 'nothing more is read')
})

t.test('from a byte on', async (t) => {
  const { ask } = await serve(t)
  const from = (chunks - 1) * chunk.length
  const { response } = await ask({ range: `bytes=${from}-` })
  t.equal(response.statusCode, 206)
  t.match(response.headers, {
    'content-range': `bytes ${from}-${chunks * chunk.length - 1}/${chunks * chunk.length}`,
    'content-length': String(chunk.length),
    etag: `"${'ab'.repeat(32)}"`,
  })
  let bytes = 0
  for await (const part of response) bytes += part.length
  t.equal(bytes, chunk.length)
})
