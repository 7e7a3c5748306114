/**
 * A federation of one server and four clients on loopback, in a folder: server/ (journal, blobs, tls), clients/NAME, kept/ (what clients sent, for the
 * checker), acknowledged (what they were told). Three rounds of FedAvg over the llama of the golden tests; the work of a client is a draw that depends on
 * its name, the round, what it was sent, and what it has kept of the rounds that counted: a round that is lost, counted twice or trained on something
 * else changes every bit after it. In a world with workers the server's blobs lie in NATS, where workers find them. In a world of buffers who is quick counts more often, so that its bits are those of its own journal only.
 */
import { createHash } from 'node:crypto'
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openDirectoryBlobs } from '../../../dist/federated/blobs/directory.js'
import { Coordinator } from '../../../dist/federated/coordinator/coordinator.js'
import { joinServer } from '../../../dist/federated/https/client/join.js'
import { limitsSchema, listenSchema, tlsSchema } from '../../../dist/federated/https/options.js'
import { serveHttps } from '../../../dist/federated/https/server/serve.js'
import { openFileJournal } from '../../../dist/federated/journal/file.js'
import { systemTime } from '../../../dist/federated/link/retry.js'
import { always } from '../../../dist/federated/participant/eligibility.js'
import { ClientFolder } from '../../../dist/federated/participant/folder.js'
import { Participant } from '../../../dist/federated/participant/participant.js'
import { decodeVector, encodeVector } from '../../../dist/federated/vector-message.js'
import { workOff } from '../../../dist/federated/workers/worker.js'
import { writeTextFile } from '../../../dist/files/atomic.js'
import { Random } from '../../../dist/random/random.js'
import { inNats } from './nats.mjs'

export const names = ['a', 'b', 'c', 'd']
export const rounds = 3
/** @type {any} */
const config = {
  name: 'killed',
  model: { path: fileURLToPath(new URL('../../golden/models/llama', import.meta.url)), quantization: 'nf4' },
  adapter: { rank: 1, seed: 2 },
  data: { format: 'tokens' },
  clients: { minimum: names.length, deadline: null },
  federation: { rounds, seed: 11, local: { steps: 2 } },
}
/** Worlds by their kind. */
const configs = {
  rounds: config,
  masked: {
    ...config,
    federation: { ...config.federation, secureAggregation: { threshold: 2, clip: 1, bits: 20 } },
  },
  workers: { ...config, workers: { answers: 2, silence: 1, deadline: 3600 } },
  buffers: {
    ...config,
    federation: { ...config.federation, rounds: 6, asynchronous: { buffer: 2, concurrency: 3, maxStaleness: 2 } },
  },
}
/** @typedef {keyof typeof configs} Kind */

/** Opens the server of a world, as a process that starts now does. @param {string} world @param {Kind} kind */
export async function openServer(world, kind) {
  const folder = join(world, 'server')
  const journal = await openFileJournal(join(folder, 'journal'), { segmentBytes: 4096 })
  const nats = kind === 'workers' ? await inNats(world, { serves: true }) : undefined
  const blobs = nats?.blobs ?? (await openDirectoryBlobs(join(folder, 'blobs'), { reserve: 0 }))
  const { queue } = nats ?? {}
  const coordinator = await Coordinator.open({ folder, journal, blobs, queue, config: configs[kind] })
  const { run } = await coordinator.describe()
  const port = join(world, 'port')
  const served = await serveHttps({
    door: coordinator,
    registry: coordinator,
    run,
    folder,
    listen: listenSchema.parse({ host: '127.0.0.1', port: existsSync(port) ? Number(readFileSync(port, 'utf8')) : 0 }),
    tls: tlsSchema.parse(undefined),
    limits: limitsSchema.parse({ drainSeconds: 0, waitSeconds: 5 }),
  })
  await writeTextFile(port, String(served.port))
  const tokens = /** @type {Record<string, string>} */ ({})
  for (const name of names) tokens[name] = await served.invite(name, 3600)
  return {
    tokens,
    over: coordinator.over,
    async close() {
      await served.close()
      await coordinator.close()
      await nats?.close()
    },
  }
}

/** Screens and sums for the server of a world, until `signal` comes. @param {string} world @param {AbortSignal} signal */
export async function work(world, signal) {
  const nats = await inNats(world, { serves: false })
  try {
    await workOff({ ...nats, signal })
  } finally {
    await nats.close()
  }
}

const salt = (text) => createHash('sha256').update(text).digest().readUInt32LE(0)

/** @returns {import('../../../dist/federated/participant/workshop.js').Workshop} */
const workshopOf = (world) => ({
  open: async () => {},
  check: async () => {},
  beforeSending: async () => {},
  async work(task, _, { own, onStep, mask }) {
    const { round, client } = task
    onStep({ step: 1, steps: 1, loss: 1 / round })
    const given = decodeVector(task.vectors.adapter)
    const before = (await own.read(client, 'residual-adapter')) ?? new Float32Array(given.length)
    const draw = new Random(salt(client), round)
    const update = given.map((value, i) => 0.1 * (draw.uniform() - 0.5) - 0.05 * value + 0.25 * before[i])
    await own.write(client, 'residual-adapter', round, update)
    const vectors = { adapter: update }
    const rows = 1 + (salt(client) % 9)
    const answer = {
      version: /** @type {1} */ (1),
      round,
      client,
      rows,
      steps: 2,
      tokens: 7,
      loss: 1 / round,
      numbers: {},
    }
    const adapter = encodeVector(update)
    if (mask !== undefined) keep(world, `${client}-${round}`, adapter)
    const sent = mask === undefined ? { vectors: { adapter } } : { vectors: {}, masked: mask(vectors, rows) }
    return {
      answer: /** @type {import('../../../dist/federated/protocol/messages.js').Answer} */ ({ ...answer, ...sent }),
      vectors,
      codec: 'f32',
    }
  },
})

/** A quick and patient client: it waits some milliseconds where others wait seconds. */
const time = { now: Date.now, sleep: (_milliseconds, signal) => systemTime.sleep(15, signal) }

/** Writes of the test's own are no points of the program. */
const aside = (work) => ('points' in globalThis ? globalThis.points.aside(work) : work())

/** What a client has made, for the checker. */
function keep(world, name, bytes) {
  aside(() => {
    mkdirSync(join(world, 'kept'), { recursive: true })
    writeFileSync(join(world, 'kept', name), bytes)
  })
}

/** Whatever a client sends and is told, for the checker. A line is appended when the client has the reply, and not when the server sends it. */
function watched(link, world, name) {
  const note = (line) =>
    aside(() => appendFileSync(join(world, 'acknowledged'), `${JSON.stringify({ client: name, ...line })}\n`))
  return {
    identity: link.identity,
    describe: (signal) => link.describe(signal),
    async next(known, signal) {
      const notice = await link.next(known, signal)
      if (notice?.type === 'outcome') note({ type: 'outcome', round: notice.round, counted: notice.counted })
      return notice
    },
    async say(word, signal) {
      const reply = await link.say(word, signal)
      if (word.type === 'answer')
        note({
          type: 'answer',
          round: word.round,
          blob: word.manifest.blob.blob,
          rows: word.manifest.answer.rows,
          reply: reply.type,
        })
      if (word.type === 'secure') note({ type: 'said', round: word.round, message: word.message, reply: reply.type })
      return reply
    },
    download: (ref, path, signal) => link.download(ref, path, signal),
    async upload(ref, path, signal) {
      aside(() => {
        mkdirSync(join(world, 'kept'), { recursive: true })
        copyFileSync(path, join(world, 'kept', ref.blob))
      })
      await link.upload(ref, path, signal)
    },
    close: () => link.close(),
  }
}

/** One client, until the federation is over. Calls that find no server are made again. */
export async function takePart(world, name, token, signal) {
  const folder = join(world, 'clients', name)
  let joined
  while (joined === undefined) {
    joined = await joinServer(await token(), join(folder, 'key'), { signal }).catch(async (error) => {
      if (error.code !== 'E_UNREACHABLE') throw error
      await systemTime.sleep(15, signal)
    })
  }
  const opened = await ClientFolder.open(folder)
  const link = watched(joined.link, world, name)
  try {
    const parts = { link, folder: opened, workshop: workshopOf(world), eligibility: always, time, random: () => 0 }
    return await new Participant(parts, { signal, emit: () => {} }).run()
  } finally {
    opened.close()
    await link.close()
  }
}
