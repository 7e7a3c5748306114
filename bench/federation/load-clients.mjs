/** The clients of the load measurement, a child of https-load.mjs: as many links of the package as it is told, each with a key and a connection of its own. */
import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Connection } from '../../dist/federated/https/client/connection.js'
import { fetchAuthority } from '../../dist/federated/https/client/first-contact.js'
import { HttpsLink } from '../../dist/federated/https/client/link.js'
import { parseJoinToken } from '../../dist/federated/https/join-token.js'
import { makeSigningKey } from '../../dist/federated/https/keys.js'

const never = new AbortController()
setMaxListeners(0, never.signal)
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

/** Answers a round: a blob of its own, then the word. */
async function answer(link, name, round) {
  const content = Buffer.alloc(bytes, name)
  content.writeUInt32LE(round, 0)
  const path = join(folder, `${name}.up`)
  writeFileSync(path, content)
  const ref = { blob: sha256(content), bytes }
  const began = performance.now()
  await link.upload(ref, path, never.signal)
  waits.upload.push(performance.now() - began)
  const about = { version: 1, round, client: name, rows: 1, steps: 1, tokens: 1, loss: 1, numbers: {} }
  const manifest = { run, answer: about, vectors: { adapter: bytes }, blob: ref }
  await link.say({ type: 'answer', round, manifest }, never.signal)
  counted++
}

/** A client as it is: it waits for news, and does what it is asked. */
async function live({ link, name }) {
  while (!never.signal.aborted) {
    try {
      const notice = await link.next(known, never.signal)
      if (notice?.type === 'outcome') {
        waits.notice.push(Date.now() - Number(notice.why))
        await answer(link, name, notice.round)
      }
    } catch (error) {
      if (never.signal.aborted) return
      fail(error)
      await sleep(1000 * Math.random())
    }
  }
}

/** @type {Record<string, (given: any) => any>} */
const commands = {
  async make({ count, token, place, size }) {
    folder = place
    bytes = size
    mkdirSync(folder, { recursive: true })
    const { address, pin, key } = parseJoinToken(token)
    const authority = await fetchAuthority(address, pin ?? '', {}, {}, never.signal)
    links = Array.from({ length: count }, (_, i) => {
      const own = makeSigningKey()
      return {
        name: i < count - 1 ? `c${i}` : 'asks',
        key: own.name,
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
    const { link } = links.at(-1)
    const end = performance.now() + 1000 * seconds
    while (performance.now() < end) {
      const began = performance.now()
      await link.next(known, never.signal).catch(fail)
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
    never.abort()
    setImmediate(() => process.exit())
    return {}
  },
}

process.on('message', async (/** @type {any} */ { id, command, ...given }) =>
  process.send?.({ id, ...(await commands[command](given)) }),
)
process.send?.({ ready: true })
