/** A node beside a server as strict as the real one: both ways of delivery, every kind of trouble between them. */
import { createPublicKey } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { NodeEvent } from '../../src/flower/node/events.js'
import { runFlowerNode } from '../../src/flower/run-node.js'
import { makeCertificates } from '../support/flower/certificates.js'
import { FleetServer, type ServerOptions } from '../support/flower/fleet-server.js'
import { addOne, makeSite, quick, startNode, tell, weights } from '../support/flower/node.js'

async function serve(t: Test, options: ServerOptions = {}) {
  const server = await FleetServer.start(options)
  t.teardown(() => server.close())
  const site = makeSite(t.testdir())
  return { server, site }
}

/** Instructs the node as soon as it is there. */
async function whenJoined(run: ReturnType<typeof startNode>, then: (nodeId: bigint) => void): Promise<void> {
  for await (const event of run.events()) {
    if (event.type === 'joined') return then(BigInt(event.nodeId))
  }
}

const left = (folder: string) =>
  ['inbox', 'outbox'].flatMap((name) => (existsSync(join(folder, name)) ? readdirSync(join(folder, name)) : []))

for (const delivery of ['once', 'least'] as const) {
  t.test(`three rounds of training and evaluation, messages handed out ${delivery}`, async (t) => {
    const { server, site } = await serve(t, { delivery })
    const run = startNode(server, site)
    await whenJoined(run, (id) => {
      for (let round = 1n; round <= 3n; round++) {
        server.instruct(id, 'train', weights(Number(round)), { 'server-round': round })
        server.instruct(id, 'evaluate', weights(Number(round)), { 'server-round': round })
      }
    })
    const result = await run
    t.match(result, { delivered: 6, refused: 0, dropped: 0, finishReason: 'idle' })
    t.strictSame(server.faults, [])
    t.equal(server.replies.length, 6)
    for (const [at, { content, metadata }] of server.replies.entries()) {
      t.equal(metadata.messageType, at % 2 === 0 ? 'train' : 'evaluate')
      t.strictSame(
        [...content!.metrics.get('metrics')!],
        [
          ['loss', 0.5],
          ['num-examples', 10n],
        ],
      )
      const arrays = content!.arrays.get('arrays')
      if (at % 2 === 0) {
        t.strictSame([...arrays!.keys()], [...weights(0).keys()], 'in the order in which they came')
        t.equal(arrays!.get('layer.lora_A.weight')!.data[0], at / 2 + 2)
      } else t.equal(arrays, undefined)
    }
    t.strictSame(left(site.folder), [], 'nothing is left on disk')
    t.strictSame(server.online, [], 'and the node is gone')
    const events = await tell(run)
    t.strictSame(events.slice(0, 4), ['joined', 'instruction', 'reply', 'delivered'])
  })
}

t.test('events say what was asked and what was answered', async (t) => {
  const { server, site } = await serve(t)
  const run = startNode(server, site)
  let id = ''
  await whenJoined(run, (node) => {
    id = server.instruct(node, 'train', weights(1), { 'server-round': 4n })
  })
  await run
  const events: NodeEvent[] = []
  for await (const event of run.events()) events.push(event)
  t.match(
    events.find(({ type }) => type === 'reply'),
    { id, kind: 'train', round: 4, metrics: { loss: 0.5, 'num-examples': 10 } },
  )
  t.doesNotThrow(() => JSON.stringify(events))
})

t.test('trouble on the way: cut connections, lost answers, a server in trouble', async (t) => {
  const kinds = ['drop', 'late', 503, 502, 504, 500, 429] as const
  for (const delivery of ['once', 'least'] as const) {
    // A pull whose answer is lost takes a message with it where messages are handed out once; a push gets its 500 below.
    const spared = (method: string, kind: unknown) =>
      (kind === 'late' && (method === 'pull-messages' || method === 'register-node')) ||
      (kind === 500 && method === 'push-messages')
    let trouble = 0
    const meddle: ServerOptions['meddle'] = (method, count) => {
      const kind = kinds[(count >> 1) % kinds.length]!
      if (
        count % 2 === 1 ||
        (delivery === 'once' && spared(method, kind)) ||
        (kind === 500 && method === 'push-messages')
      )
        return undefined
      trouble++
      return kind
    }
    const server = await FleetServer.start({ delivery, meddle })
    const site = makeSite(join(t.testdir({ once: {}, least: {} }), delivery))
    const run = startNode(server, site, { idle: 0.3 })
    await whenJoined(run, (id) => {
      for (let round = 1n; round <= 3n; round++)
        server.instruct(id, 'train', weights(Number(round)), { 'server-round': round })
    })
    t.match(await run, { delivered: 3, refused: 0, dropped: 0 }, delivery)
    t.strictSame(server.faults, [])
    t.equal(server.replies.length, 3, 'none lost, none twice')
    t.ok(trouble > 15, `${trouble} times`)
    await server.close()
  }
})

t.test('a session that ran out: all is announced and sent again, byte by byte', async (t) => {
  const { server, site } = await serve(t, {
    meddle(method) {
      if (method === 'push-object' && ++pushes % 3 === 0 && pushes < 7) server.expire()
      return undefined
    },
  })
  let pushes = 0
  const run = startNode(server, site)
  await whenJoined(run, (id) => void server.instruct(id, 'train', weights(1)))
  t.match(await run, { delivered: 1, dropped: 0 })
  t.strictSame(server.faults, [])
  t.equal(server.replies.length, 1)
  const announced = server.calls.filter((method) => method === 'push-messages').length
  t.ok(announced >= 3, `announced ${announced} times`)
  t.equal(new Set(server.announced).size, 1, 'one body')
  const { length } = server.announced
  t.equal(length, announced)
})

t.test('a server that stores nothing: the reply is dropped, and the node goes on', async (t) => {
  let broken = true
  const { server, site } = await serve(t, {
    meddle(method) {
      if (method === 'push-object' && broken) server.expire()
      return undefined
    },
  })
  const run = startNode(server, site, { idle: 0.3 })
  await whenJoined(run, (id) => void server.instruct(id, 'train', weights(1)))
  for await (const event of run.events()) {
    if (event.type !== 'dropped') continue
    broken = false
    server.instruct(server.online[0]!, 'train', weights(2))
  }
  t.match(await run, { delivered: 1, dropped: 1 })
})

t.test('what the work throws is told the server, and the node goes on', async (t) => {
  const { server, site } = await serve(t)
  let calls = 0
  const run = startNode(server, site, {
    work(instruction) {
      calls++
      if (calls === 1) throw new RangeError('no such layer')
      if (calls === 2) return undefined as never
      if (calls === 3) return { metrics: { loss: 'low' } }
      return addOne(instruction)
    },
  })
  await whenJoined(run, (id) => {
    for (let i = 0; i < 4; i++) server.instruct(id, 'train', weights(i))
  })
  t.match(await run, { delivered: 4, refused: 3 })
  t.strictSame(server.faults, [])
  const [first, second, third, last] = server.replies
  t.match(first, { error: { code: 2n, reason: 'E_INTERNAL: RangeError: no such layer' }, content: undefined })
  t.match(second, { error: { reason: /E_ARGUMENT: .*no reply/ } })
  t.match(third, { error: { reason: /E_ARGUMENT: .*'loss': got "low"/ } })
  t.ok(last!.content)
})

t.test('messages that are none, or not for this node', async (t) => {
  const { server, site } = await serve(t)
  const seen: unknown[] = []
  const run = startNode(server, site, {
    work(instruction) {
      seen.push(instruction)
      return addOne(instruction)
    },
  })
  await whenJoined(run, (id) => {
    server.instruct(id, 'train', weights(1), {}, { createdAt: Date.now() / 1000 - 100, ttl: 50 })
    server.instruct(id, 'query.action', new Map(), {})
  })
  t.match(await run, { delivered: 1, dropped: 1 }, 'one is too late')
  t.match(seen, [{ kind: 'query.action', round: undefined }])
  t.strictSame(server.faults, [])
})

t.test('a run that is over: instruction and reply are dropped', async (t) => {
  const { server, site } = await serve(t)
  const run = startNode(server, site, {
    work(instruction) {
      server.running = false
      return addOne(instruction)
    },
  })
  await whenJoined(run, (id) => {
    server.instruct(id, 'train', weights(1))
    server.instruct(id, 'train', weights(2))
  })
  t.match(await run, { delivered: 0, dropped: 2 })
  t.strictSame(left(site.folder), [])
})

t.test('objects that are not what their id says, and answers that are none', async (t) => {
  for (const [what, distort, code] of [
    [
      'another object',
      (body: Uint8Array) => Buffer.from(Buffer.from(body).toString('latin1').replace('float32', 'float64'), 'latin1'),
      undefined,
    ],
    ['no message', () => Buffer.from('<html>'), 'E_PROTOCOL'],
    ['an answer of 100 MiB', () => Buffer.alloc(100 * 2 ** 20), 'E_TOO_LARGE'],
  ] as const) {
    const wanted = what === 'another object' ? 'pull-object' : 'pull-messages'
    const server = await FleetServer.start({ distort: (method, body) => (method === wanted ? distort(body) : body) })
    const site = makeSite(t.testdir())
    const run = startNode(server, site)
    await whenJoined(run, (id) => void server.instruct(id, 'train', weights(1)))
    if (code === undefined) t.match(await run, { delivered: 0, dropped: 1 }, what)
    else await t.rejects(run, { code }, what)
    await server.close()
  }
})

t.test('an instruction that is larger than the node takes', async (t) => {
  const { server, site } = await serve(t)
  const run = startNode(server, site, { maxBytes: 600 })
  await whenJoined(run, (id) => void server.instruct(id, 'train', weights(1)))
  t.match(await run, { delivered: 0, dropped: 1 })
})

t.test('a clock that is wrong, a key that nobody knows: refused by their codes', async (t) => {
  for (const ahead of [-60, 400]) {
    const { server, site } = await serve(t, { ahead })
    await t.rejects(startNode(server, site), {
      code: 'E_CLOCK',
      message: ahead < 0 ? /6[0-3] s ahead of/ : /(39[7-9]|40[01]) s behind/,
    })
  }
  const { server, site } = await serve(t, { auth: true })
  const run = startNode(server, site)
  const told: string[] = []
  for await (const event of run.events()) if (event.type === 'waiting') told.push(event.message)
  await t.rejects(run, { code: 'E_AUTH', message: /flwr supernode register/ }, 'after some tries')
  t.match(told[0], /register its .pub file/)
})

t.test('a key that the operator registers, while the node waits or before', async (t) => {
  const { server, site } = await serve(t, { auth: true })
  const run = startNode(server, site, { pace: { ...quick, heartbeat: 2 } })
  const pem = createPublicKey(readFileSync(site.key)).export({ type: 'spki', format: 'pem' }) as string
  for await (const event of run.events()) {
    if (event.type === 'waiting') server.register(pem)
    if (event.type === 'joined') server.instruct(BigInt(event.nodeId), 'train', weights(1))
  }
  t.match(await run, { delivered: 1 })
})

t.test('the id is kept: a second start goes on at once, also where an activation would be refused', async (t) => {
  const { server, site } = await serve(t)
  const stop = new AbortController()
  const first = startNode(server, site, { idle: undefined, signal: stop.signal })
  await whenJoined(first, () => stop.abort(new Error('enough')))
  await t.rejects(first, { message: 'enough' })
  t.equal(server.online.length, 1, 'the server still counts on it')
  const before = server.calls.length
  const second = startNode(server, site)
  await whenJoined(second, (id) => void server.instruct(id, 'train', weights(1)))
  t.match(await second, { delivered: 1 })
  t.strictSame(server.calls.slice(before, before + 2), ['send-node-heartbeat', 'pull-messages'])
  const events: NodeEvent[] = []
  for await (const event of second.events()) events.push(event)
  t.match(events[0], { type: 'joined', again: true })
})

t.test('without the id of before: 412 until the server has given the old node up', async (t) => {
  const { server, site } = await serve(t)
  const stop = new AbortController()
  const first = startNode(server, site, { idle: undefined, signal: stop.signal })
  await whenJoined(first, () => stop.abort())
  await first.catch(() => {})
  const second = startNode(server, { ...site, folder: `${site.folder}-new` })
  const waits: string[] = []
  for await (const event of second.events()) if (event.type === 'waiting') waits.push(event.method)
  t.match(await second, { finishReason: 'idle' })
  t.ok(waits.includes('activate-node'), `${waits.length} refusals`)
})

t.test('a server that has forgotten its nodes: the node is a new one, and drops what is the old one’s', async (t) => {
  const { server, site } = await serve(t)
  const stop = new AbortController()
  const first = startNode(server, site, {
    work() {
      stop.abort()
      throw new Error('never sent')
    },
    signal: stop.signal,
  })
  await whenJoined(first, (id) => void server.instruct(id, 'train', weights(1)))
  await first.catch(() => {})
  t.equal(left(site.folder).length, 1, 'an instruction is left')
  server.forget()
  t.match(await startNode(server, site), { delivered: 0, dropped: 1 })
  t.strictSame(left(site.folder), [])
})

t.test('heartbeats go on during long work, and a node that was given up comes back', async (t) => {
  const { server, site } = await serve(t)
  const run = startNode(server, site, {
    pace: { ...quick, heartbeat: 0.05 },
    async work(instruction) {
      server.forget()
      await new Promise((resolve) => setTimeout(resolve, 200))
      return addOne(instruction)
    },
  })
  await whenJoined(run, (id) => void server.instruct(id, 'train', weights(1)))
  await run
  const during = server.calls.slice(server.calls.indexOf('confirm-message-received'))
  t.ok(during.includes('register-node') && during.includes('activate-node'))
})

t.test('stopped and aborted at once, wherever it is', async (t) => {
  const { server, site } = await serve(t)
  const idle = startNode(server, site, { idle: undefined })
  await whenJoined(idle, () => {})
  await idle.stop()
  t.match(await idle, { finishReason: 'stopped', delivered: 0 })
  const reason = new Error('away')
  await t.rejects(startNode(server, site, { signal: AbortSignal.abort(reason) }), reason)
  const nobody = runFlowerNode({
    url: 'http://127.0.0.1:1',
    ...site,
    work: addOne,
    pace: { ...quick, longest: 60, shortest: 60 },
  })
  for await (const event of nobody.events()) if (event.type === 'waiting') void nobody.stop()
  t.match(await nobody, { nodeId: '0', finishReason: 'stopped' }, 'during a wait')
})

t.test('one node at a time in a folder', async (t) => {
  const { server, site } = await serve(t)
  const first = startNode(server, site, { idle: undefined })
  await whenJoined(first, () => {})
  await t.rejects(startNode(server, site), { code: 'E_LOCKED' })
  await first.stop()
  t.match(await startNode(server, site), { finishReason: 'idle' })
})

t.test('addresses, authorities and options that are none', async (t) => {
  const site = makeSite(t.testdir({ text: 'no certificate' }))
  const start = (more: object) =>
    runFlowerNode({ url: 'https://127.0.0.1:1', ...site, work: addOne, pace: quick, ...more })
  for (const url of ['', 'x', 'ftp://a', 'http://10.0.0.1:8000', 'https://a/b', 'https://u@a', 'https://a?b']) {
    await t.rejects(start({ url }), { code: 'E_CONFIG' }, url)
  }
  await t.rejects(start({ ca: join(t.testdirName, 'absent') }), { code: 'E_MISSING' })
  await t.rejects(start({ ca: join(t.testdirName, 'text') }), { code: 'E_FORMAT' })
  await t.rejects(start({ key: join(t.testdirName, 'text') }), { code: 'E_FORMAT' })
  for (const more of [{ work: 5 }, { idle: -1 }, { idle: Number.NaN }, { folder: '' }, { maxBytes: 0 }, { ulr: 'x' }]) {
    await t.rejects(start(more), { code: 'E_CONFIG' }, JSON.stringify(more))
  }
  for (const wrong of [null, undefined, 5]) await t.rejects(runFlowerNode(wrong as never), { code: 'E_CONFIG' })
})

t.test('TLS with an authority of one’s own; without it the server is not trusted', async (t) => {
  const folder = t.testdir()
  const { authority, ...tls } = await makeCertificates()
  writeFileSync(join(folder, 'ca.crt'), authority)
  const ca = join(folder, 'ca.crt')
  const server = await FleetServer.start({ tls })
  t.teardown(() => server.close())
  const site = makeSite(folder)
  const run = startNode(server, site, { ca })
  await whenJoined(run, (id) => void server.instruct(id, 'train', weights(1)))
  t.match(await run, { delivered: 1 })
  await t.rejects(startNode(server, site), { code: 'E_AUTH', message: /not trusted/ })
  const flower = startNode(server, site, { ca, url: server.url.replace('https:', 'flower:') })
  t.match(await flower, { finishReason: 'idle' }, 'flower://host:port is https')
})
