/**
 * What one server bears over HTTPS.
 * Usage: node bench/federation/https-load.mjs [--json] [--clients 10000] [--cohort 1000] [--rounds 3] [--pairs 7]
 *   --json     prints the figures alone, in one line
 *   --clients  that join; --cohort: of them that each of the --rounds asks
 *   --pairs    uploads of 64 MiB, each beside one to a bare node:https server
 *
 * Server and clients are two processes on loopback, and the one that asks a third. All clients wait for news, as many of them in an open connection as the server's default bears, the
 * others by asking now and then; in every round a cohort is told of work, and each of it sends an update as
 * large as 1 % of 4.9 M values (top-k: an index and a float32 each) and says so, while one more client, a process of its own that waits for nobody,
 * asks again and again. Uploads are compared with a node:https server that writes its requests to files and does nothing else, in turns.
 */
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { runMain, ScriptError } from '../../scripts/lib/project.mjs'

const updateBytes = Math.round(0.01 * 4.9e6) * 8
const mib = (bytes) => Math.round(bytes / 2 ** 20)
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** The value that a share of the list does not exceed. */
function quantile(list, share) {
  const sorted = [...list].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}

/** A child that answers commands, once it is ready. @returns {Promise<any>} */
function start(file, ...given) {
  const child = fork(new URL(file, import.meta.url), given, { execArgv: [], serialization: 'advanced' })
  const waiting = new Map()
  let last = 0
  const ask = (command, about = {}) =>
    new Promise((resolve) => {
      waiting.set(++last, resolve)
      child.send({ id: last, command, ...about })
    })
  return new Promise((resolve) => {
    child.on('message', (/** @type {any} */ told) => {
      if (told.ready) return resolve({ ...told, ask })
      waiting.get(told.id)(told)
      waiting.delete(told.id)
    })
  })
}

/** A whole number of at least one. */
function count(name, text) {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  throw new ScriptError('E_ARGUMENT', `--${name}: got '${text}', expected a whole number of at least 1`)
}

async function main() {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      clients: { type: 'string', default: '10000' },
      cohort: { type: 'string', default: '1000' },
      rounds: { type: 'string', default: '3' },
      pairs: { type: 'string', default: '7' },
    },
  })
  const [clients, cohort, rounds, pairs] = ['clients', 'cohort', 'rounds', 'pairs'].map((name) =>
    count(name, values[name]),
  )
  if (cohort > clients)
    throw new ScriptError('E_ARGUMENT', `--cohort: got ${cohort}, expected at most --clients, ${clients}`)
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-load-'))
  const say = (text) => values.json || process.stderr.write(`${text}\n`)
  const server = await start('load-server.mjs', join(folder, 'server'))
  const crowd = await start('load-clients.mjs')
  const asker = await start('load-clients.mjs')
  for (const [child, prefix, count] of [
    [crowd, 'c', clients],
    [asker, 'asks', 1],
  ]) {
    const place = join(folder, `clients-${prefix}`)
    const { list } = await child.ask('make', { count, prefix, token: server.token, place, size: updateBytes })
    await server.ask('names', { list })
  }
  const empty = await server.ask('look')
  const began = performance.now()
  await crowd.ask('join', { from: 0, to: clients })
  let joined
  do {
    await sleep(200)
    joined = await server.ask('look')
  } while (joined.joined < clients && performance.now() - began < 300_000)
  const joining = (performance.now() - began) / 1000
  say(
    `${joined.joined} clients have joined, ${joined.waiting} wait in an open connection (${joining.toFixed(0)} s): ${mib(joined.memory.rss)} MiB, empty ${mib(empty.memory.rss)} MiB`,
  )
  await crowd.ask('look')

  /** What the server held at the peak of each round. @type {{ rss: number, heapTotal: number, heapUsed: number, external: number, connections: number }[]} */
  const peaks = []
  /** Milliseconds that the server's event loop is late, 99th percentile of a round. @type {number[]} */
  const stalls = []
  /** @type {number[]} */
  const polls = []
  /** @type {number[]} */
  const notices = []
  /** @type {number[]} */
  const uploads = []
  for (let round = 1; round <= rounds; round++) {
    const asked = Array.from({ length: cohort }, (_, i) => `c${(round * cohort + i * 7) % clients}`)
    const before = await server.ask('look')
    const started = performance.now()
    const polling = asker.ask('poll', { seconds: 4 })
    await server.ask('loop')
    await server.ask('notify', {
      clients: asked,
      notice: { type: 'outcome', round, counted: true, why: String(Date.now()) },
    })
    let now
    let peak = { rss: 0, heapTotal: 0, heapUsed: 0, external: 0, connections: 0 }
    do {
      await sleep(100)
      now = await server.ask('look')
      const { rss, heapTotal, heapUsed, external } = now.memory
      if (rss > peak.rss) peak = { rss, heapTotal, heapUsed, external, connections: now.connections }
    } while (now.answers - before.answers < new Set(asked).size && performance.now() - started < 300_000)
    const seconds = (performance.now() - started) / 1000
    await polling
    const told = await crowd.ask('look')
    peaks.push(peak)
    stalls.push((await server.ask('loop')).p99)
    polls.push(...(await asker.ask('look')).poll)
    notices.push(...told.notice)
    uploads.push(...told.upload)
    await server.ask('collect')
    say(
      `round ${round}: ${now.answers - before.answers} answers in ${seconds.toFixed(1)} s, peak ${mib(peak.rss)} MiB (heap ${mib(peak.heapUsed)} of ${mib(peak.heapTotal)}, external ${mib(peak.external)}, ${peak.connections} connections); ${JSON.stringify(told.failed)}`,
    )
  }

  // Polls of a server that has nothing else to do but to hold everybody.
  await asker.ask('poll', { seconds: 3 })
  const calm = (await asker.ask('look')).poll

  /** Seconds that a large upload takes, to the bare server. */
  const large = Buffer.alloc(64 * 2 ** 20)
  async function bareUpload(path) {
    const started = performance.now()
    await new Promise((resolve, reject) => {
      const sent = request(
        server.bare,
        { method: 'PUT', rejectUnauthorized: false, headers: { 'content-length': large.length } },
        (response) => {
          response.resume().on('end', resolve)
        },
      )
      sent.on('error', reject)
      pipeline(createReadStream(path, { highWaterMark: 262_144 }), sent).catch(reject)
    })
    return (performance.now() - started) / 1000
  }

  const { HttpsLink } = await import('../../dist/federated/https/client/link.js')
  const { Connection } = await import('../../dist/federated/https/client/connection.js')
  const { fetchAuthority } = await import('../../dist/federated/https/client/first-contact.js')
  const { parseJoinToken } = await import('../../dist/federated/https/join-token.js')
  const { makeSigningKey } = await import('../../dist/federated/https/keys.js')
  const token = parseJoinToken(server.token)
  const authority = await fetchAuthority(token.address, token.pin ?? '', {}, {}, new AbortController().signal)
  const key = makeSigningKey()
  await server.ask('names', { list: [[key.name, 'large']] })
  const link = new HttpsLink(new Connection(token.address, { authority }, {}), key, token.key)
  /** @type {number[]} */
  const ratios = []
  /** @type {{ ours: number[], bare: number[] }} */
  const rates = { ours: [], bare: [] }
  for (let pair = 0; pair < pairs; pair++) {
    large.writeUInt32LE(pair + 1, 0)
    const path = join(folder, 'large')
    writeFileSync(path, large)
    const ref = { blob: createHash('sha256').update(large).digest('hex'), bytes: large.length }
    const ours = async () => {
      const started = performance.now()
      await link.upload(ref, path, new AbortController().signal)
      return (performance.now() - started) / 1000
    }
    const [first, second] =
      pair % 2 === 0 ? [await ours(), await bareUpload(path)] : [await bareUpload(path), await ours()].reverse()
    ratios.push(second / first)
    rates.ours.push(large.length / first / 1e6)
    rates.bare.push(large.length / second / 1e6)
  }
  await link.close()

  const figures = {
    measurement: 'federation over HTTPS, one server on loopback',
    command: `node bench/federation/https-load.mjs --clients ${clients} --cohort ${cohort} --rounds ${rounds}`,
    loadAverage: loadavg().map((load) => Math.round(load)),
    clients: joined.joined,
    joinSeconds: Math.round(joining),
    waiting: joined.waiting,
    cohort,
    updateBytes,
    serverMiB: {
      empty: mib(empty.memory.rss),
      joined: mib(joined.memory.rss),
      rounds: peaks.map(({ rss }) => mib(rss)),
    },
    peaks: peaks.map(({ connections, ...bytes }) => ({
      connections,
      ...Object.fromEntries(Object.entries(bytes).map(([part, size]) => [`${part}MiB`, mib(size)])),
    })),
    pollMs: {
      calm: { p50: quantile(calm, 0.5), p99: quantile(calm, 0.99) },
      inRounds: { p50: quantile(polls, 0.5), p99: quantile(polls, 0.99) },
    },
    loopDelayMs: stalls,
    noticeMs: { p50: quantile(notices, 0.5), p99: quantile(notices, 0.99) },
    uploadMs: { p50: quantile(uploads, 0.5), p99: quantile(uploads, 0.99) },
    uploadMBs: { ours: quantile(rates.ours, 0.5), bare: quantile(rates.bare, 0.5), share: quantile(ratios, 0.5) },
  }
  process.stdout.write(values.json ? `${JSON.stringify(figures)}\n` : `${JSON.stringify(figures, null, 2)}\n`)
  await Promise.all([crowd.ask('end'), asker.ask('end'), server.ask('end')])
  rmSync(folder, { recursive: true, force: true })
}

await runMain(import.meta, 'https-load', main)
process.exit()
