/** The clients of the load measurement, a child of https-load.mjs: as many links of the package as it is told, each with a key and a connection of its own. */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Connection } from '../../dist/federated/https/client/connection.js'
import { fetchAuthority } from '../../dist/federated/https/client/first-contact.js'
import { HttpsLink } from '../../dist/federated/https/client/link.js'
import { parseJoinToken } from '../../dist/federated/https/join-token.js'
import { makeSigningKey } from '../../dist/federated/https/keys.js'
import { retrying, systemTime } from '../../dist/federated/link/retry.js'

let ended = false
const known = { settled: 0, working: null, heard: 0 }
const run = 'ab'.repeat(16)
/** @type {any[]} */
let links = []
let folder = ''
let bytes = 0
/** Milliseconds from a notice's time to its arrival; and of polls that had an answer at once. */
/** @type {{ notice: number[], poll: number[], upload: number[], failed: Record<string, number> }} */
const waits = { notice: [], poll: [], upload: [], failed: {} }
let counted = 0

const sha256 = (content) => createHash('sha256').update(content).digest('hex')
const fail = (error) => {
  const key = `${error.code}: ${error.message}`.slice(0, 160)
  waits.failed[key] = (waits.failed[key] ?? 0) + 1
}
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Calls until it succeeds, as a participant does: with the waits of the package. */
const persistently = (signal, call) =>
  retrying(call, { signal, time: systemTime, random: Math.random, onRetry: (error) => fail(error) })

/** Answers a round: a blob of its own, then the word. */
async function answer({ link, name, signal }, round) {
  const content = Buffer.alloc(bytes, name)
  content.writeUInt32LE(round, 0)
  const path = join(folder, `${name}.up`)
  writeFileSync(path, content)
  const ref = { blob: sha256(content), bytes }
  const began = performance.now()
  await persistently(signal, () => link.upload(ref, path, signal))
  waits.upload.push(performance.now() - began)
  const about = { version: 1, round, client: name, rows: 1, steps: 1, tokens: 1, loss: 1, numbers: {} }
  const manifest = { run, answer: about, vectors: { adapter: bytes }, blob: ref }
  await persistently(signal, () => link.say({ type: 'answer', round, manifest }, signal))
  counted++
}

/** A client as it is: it waits for news, and does what it is asked. */
async function live(client) {
  const { link, signal } = client
  while (!ended) {
    const notice = await persistently(signal, () => link.next(known, signal))
    if (notice?.type === 'outcome') {
      waits.notice.push(Date.now() - Number(notice.why))
      await answer(client, notice.round)
    }
  }
}

/** @type {Record<string, (given: any) => any>} */
const commands = {
  async make({ count, prefix, token, place, size }) {
    folder = place
    bytes = size
    mkdirSync(folder, { recursive: true })
    const { address, pin, key } = parseJoinToken(token)
    const authority = await fetchAuthority(address, pin ?? '', {}, {}, new AbortController().signal)
    links = Array.from({ length: count }, (_, i) => {
      const own = makeSigningKey()
      return {
        name: `${prefix}${i}`,
        key: own.name,
        signal: new AbortController().signal, // of its own: a signal that thousands listen to is slow
        link: new HttpsLink(new Connection(address, { authority }, {}), own, key),
      }
    })
    return { list: links.map(({ key, name }) => [key, name]) }
  },
  async join({ from, to }) {
    for (let at = from; at < to; at += 50) {
      for (const one of links.slice(at, Math.min(to, at + 50))) void live(one)
      await sleep(100)
    }
    return {}
  },
  /** One client that asks again and again, and is answered at once. */
  async poll({ seconds }) {
    const { link, signal } = links.at(-1)
    const end = performance.now() + 1000 * seconds
    while (performance.now() < end) {
      const began = performance.now()
      await link.next(known, signal).catch(fail)
      waits.poll.push(performance.now() - began)
      await sleep(10)
    }
    return {}
  },
  look: () => {
    const told = { counted, ...structuredClone(waits) }
    for (const name of ['notice', 'poll', 'upload']) waits[name].length = 0
    return told
  },
  end: () => {
    ended = true
    setImmediate(() => process.exit())
    return {}
  },
}

process.on('message', async (/** @type {any} */ { id, command, ...given }) =>
  process.send?.({ id, ...(await commands[command](given)) }),
)
process.send?.({ ready: true })
