/**
 * The server of the load measurement, a child of https-load.mjs: the carrier and blobs on disk are the package's, the federation behind them holds
 * names and says that there is work. It tells its parent its address, and its memory whenever it is asked.
 */
import { createWriteStream, mkdirSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { pipeline } from 'node:stream/promises'
import { FedloraError } from '../../dist/errors.js'
import { openDirectoryBlobs } from '../../dist/federated/blobs/directory.js'
import { limitsSchema, listenSchema, tlsSchema } from '../../dist/federated/https/options.js'
import { serveHttps } from '../../dist/federated/https/server/serve.js'
import { openIdentity } from '../../dist/federated/https/tls-folder.js'
import { keepHeapSmall } from '../../dist/server/heap.js'

keepHeapSmall() // as `fedlora serve` does
const folder = process.argv[2]
const run = 'ab'.repeat(16)
mkdirSync(folder, { recursive: true })
const blobs = await openDirectoryBlobs(join(folder, 'blobs'))

/** Names by key, news by name, and who waits for them. */
const names = new Map()
const news = new Map()
const wakes = new Map()
const seen = new Set()
let answers = 0
const loop = monitorEventLoopDelay({ resolution: 5 })
loop.enable()

/** @type {any} */
const federation = {
  describe: async () => ({ run }),
  async next(client, _known, signal) {
    seen.add(client)
    if (client === 'asks0') return { type: 'over', round: 1 }
    while (!news.has(client) && !signal.aborted) {
      await new Promise((resolve) => {
        wakes.set(client, resolve)
        signal.addEventListener('abort', resolve, { once: true })
      })
    }
    const notice = news.get(client)
    news.delete(client)
    return notice
  },
  async say(_client, word) {
    if (word.type === 'answer' && (await blobs.sizeOf(word.manifest.blob.blob)) === undefined) {
      throw new FedloraError('E_BLOB_MISSING', 'send it first')
    }
    if (word.type === 'answer') answers++
    return { type: 'taken' }
  },
  async read(_client, blob, from) {
    return { bytes: await blobs.sizeOf(blob), chunks: blobs.open(blob, from) }
  },
  offset: (_client, blob) => blobs.offsetOf(blob),
  write: (_client, ref, from, chunks) => blobs.write(ref, from, chunks),
  clientOf(key) {
    const name = names.get(key)
    if (name === undefined) throw new FedloraError('E_AUTH', 'nobody')
    return name
  },
  enroll: async () => ({ client: '' }),
  invite: async () => ({ token: 'none' }),
  revoke: async () => {},
}

function notify(client, notice) {
  news.set(client, notice)
  wakes.get(client)?.()
}

const served = await serveHttps({
  door: federation,
  registry: federation,
  run,
  folder,
  listen: listenSchema.parse({ host: '127.0.0.1', port: 0 }),
  tls: tlsSchema.parse(undefined),
  limits: limitsSchema.parse({ clientRate: { perSecond: 1000, burst: 1000 }, drainSeconds: 1 }),
})

/** What node:https does by itself: TLS and a file. */
const identity = await openIdentity(folder, { names: [] }, ['localhost', '127.0.0.1', '::1'], run)
let files = 0
const bare = createServer(
  { cert: identity.chain, key: identity.key, minVersion: 'TLSv1.3' },
  async (request, response) => {
    await pipeline(request, createWriteStream(join(folder, `bare-${files++ % 4}`)))
    response.end()
  },
)
await new Promise((resolve) => bare.listen(0, '127.0.0.1', () => resolve(undefined)))

/** @type {Record<string, (given: any) => any>} */
const commands = {
  names: ({ list }) => {
    for (const [key, name] of list) names.set(key, name)
    return {}
  },
  notify: ({ clients, notice }) => {
    for (const client of clients) notify(client, typeof notice === 'object' ? notice : undefined)
    return { at: Date.now() }
  },
  look: async () => ({
    memory: process.memoryUsage(),
    joined: seen.size,
    waiting: served.waiting(),
    connections: await served.connections(),
    answers,
  }),
  /** How late the event loop was since it was last asked, in milliseconds. */
  loop: () => {
    const told = { p99: loop.percentile(99) / 1e6, worst: loop.max / 1e6 }
    loop.reset()
    return told
  },
  collect: async () => {
    await blobs.collect(() => false)
    return {}
  },
  end: async () => {
    bare.close()
    bare.closeAllConnections()
    await served.close()
    await blobs.close()
    setImmediate(() => process.disconnect())
    return {}
  },
}

process.on('message', async (/** @type {any} */ { id, command, ...given }) =>
  process.send?.({ id, ...(await commands[command](given)) }),
)
process.send?.({
  ready: true,
  token: await served.invite('nobody', 60),
  address: served.address,
  bare: `https://127.0.0.1:${/** @type {any} */ (bare.address()).port}`,
})
