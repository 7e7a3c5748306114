import { createHash, randomBytes } from 'node:crypto'
import { createConnection } from 'node:net'
import { connect } from 'node:tls'
import t from 'tap'
import { signRequest } from '../../src/federated/https/client/signed.js'
import { contentDigest } from '../../src/federated/https/digest.js'
import { parseJoinToken } from '../../src/federated/https/join-token.js'
import { makeSigningKey, type SigningKey } from '../../src/federated/https/keys.js'
import { clockWindow } from '../../src/federated/https/server/gate.js'
import type { Word } from '../../src/federated/link/messages.js'
import { rawBytes, rawRequest, type Started, sha256, startServer } from './support/https.js'

const word: Word = { type: 'working', round: 1, step: 0, steps: 4 }
const json = (value: unknown) => Buffer.from(JSON.stringify(value))

/** A client that has joined, and can then say anything. */
async function member(server: Started, name = 'a') {
  const key = makeSigningKey()
  const { secret } = parseJoinToken(await server.invite(name))
  const told = await post(server, key, '/v1/enroll', { token: secret })
  if (told.status !== 201) throw new Error(`enrolled with ${told.status}: ${told.text}`)
  return key
}

const origin = ({ served }: Started) => `https://127.0.0.1:${served.port}`

function post(server: Started, key: SigningKey, target: string, value: unknown, change: Record<string, string> = {}) {
  const content = json(value)
  const fields = { ...signRequest(key, 'POST', origin(server) + target, {}, content), ...change }
  return rawRequest(server, 'POST', target, { 'content-length': String(content.length), ...fields }, content)
}

function get(server: Started, key: SigningKey, target: string, method = 'GET', change: Record<string, string> = {}) {
  return rawRequest(server, method, target, { ...signRequest(key, method, origin(server) + target, {}), ...change })
}

t.test('tokens: expired, used, foreign, and what is none', async (t) => {
  await using server = await startServer()
  const { tokens } = server.federation
  const { secret } = parseJoinToken(await server.invite('a'))
  const [mine, other] = [makeSigningKey(), makeSigningKey()]
  t.equal((await post(server, mine, '/v1/enroll', { token: secret })).status, 201, 'canary: a good one')
  t.equal((await post(server, mine, '/v1/enroll', { token: secret })).status, 201, 'the same key again')
  t.match(await post(server, other, '/v1/enroll', { token: secret }), { status: 403, code: 'E_TOKEN_USED' })
  t.match(await post(server, other, '/v1/enroll', { token: randomBytes(32).toString('base64url') }), {
    status: 403,
    code: 'E_TOKEN',
  })
  tokens.set('old', { name: 'b', until: Date.now() - 1 })
  t.match(await post(server, other, '/v1/enroll', { token: 'old' }), { status: 403, code: 'E_TOKEN' })
  for (const bad of [
    {},
    { token: 5 },
    { token: '' },
    { token: 'x'.repeat(256) },
    [],
    null,
    'x',
    { token: { toString: 1 } },
  ]) {
    t.match(
      await post(server, other, '/v1/enroll', bad),
      { status: 400, code: 'E_FORMAT' },
      JSON.stringify(bad).slice(0, 40),
    )
  }
  t.same([...server.federation.names.values()], ['a'], 'nobody else has joined')
})

t.test('signatures: none, of others, of other requests, of other bytes, again', async (t) => {
  await using server = await startServer({ limits: { strangerRate: { burst: 1000 } } })
  const key = await member(server)
  t.equal((await post(server, key, '/v1/words', word)).status, 200, 'canary: a good one')
  const denied = (found: Promise<unknown>, what: string) =>
    found.then((raw) => t.match(raw, { status: 401, code: 'E_AUTH' }, what))
  await denied(rawRequest(server, 'GET', '/v1/run', { 'fedlora-protocol': '1' }), 'none')
  await denied(get(server, makeSigningKey(), '/v1/run'), 'a key that nobody has')
  const impostor = { ...makeSigningKey(), name: key.name }
  await denied(get(server, impostor, '/v1/run'), 'under another name')
  await denied(post(server, impostor, '/v1/words', word), 'a word under another name')
  const fields = signRequest(key, 'GET', `${origin(server)}/v1/run`, {})
  t.equal((await rawRequest(server, 'GET', '/v1/run', fields)).status, 200, 'canary: once')
  await denied(rawRequest(server, 'GET', '/v1/run', fields), 'again')
  const fresh = () => signRequest(key, 'GET', `${origin(server)}/v1/run`, {})
  await denied(rawRequest(server, 'GET', '/v1/next?settled=0&working=&heard=0', fresh()), 'for another path')
  const next = signRequest(key, 'GET', `${origin(server)}/v1/next?settled=0&working=&heard=0`, {})
  await denied(rawRequest(server, 'GET', '/v1/next?settled=1&working=&heard=0', next), 'for another query')
  await denied(
    rawRequest(server, 'GET', '/v1/run', { ...fresh(), host: 'elsewhere.example.org' }),
    'for another server',
  )
  const content = json(word)
  const signed = signRequest(key, 'POST', `${origin(server)}/v1/words`, {}, content)
  const swapped = json({ ...word, step: 3 })
  const length = { 'content-length': String(swapped.length) }
  t.match(
    await rawRequest(server, 'POST', '/v1/words', { ...signed, ...length }, swapped),
    { status: 422, code: 'E_HASH' },
    'other bytes',
  )
  const again = signRequest(key, 'POST', `${origin(server)}/v1/words`, {}, content)
  await denied(
    rawRequest(server, 'POST', '/v1/words', { ...again, ...length, 'content-digest': contentDigest(swapped) }, swapped),
    'other bytes and their digest',
  )
  const bare = signRequest(key, 'POST', `${origin(server)}/v1/words`, {})
  await denied(
    rawRequest(server, 'POST', '/v1/words', { ...bare, ...length, 'content-digest': contentDigest(swapped) }, swapped),
    'a digest that is not covered',
  )
  for (const input of [
    '',
    'x',
    'fedlora=()',
    'fedlora=();created=1',
    `fedlora=("@method");created=${'9'.repeat(15)}`,
    '\u00ff'.repeat(2000),
  ]) {
    await denied(
      rawRequest(server, 'GET', '/v1/run', { ...fresh(), 'signature-input': input }),
      `signature-input ${input.slice(0, 30)}`,
    )
  }
  t.equal(server.federation.said.length, 1, 'nothing of it was said')
})

t.test('a clock that is an hour off is told so, in hours and minutes', async (t) => {
  let ahead = 0
  await using server = await startServer({ now: () => Date.now() + ahead, limits: { strangerRate: { burst: 1000 } } })
  const key = await member(server)
  for (const [seconds, words] of [
    [3600, /60 minutes behind/],
    [-3600, /60 minutes ahead/],
    [clockWindow + 5, /2 minutes behind/],
    [9e6, /2500 hours behind/],
  ] as const) {
    ahead = 1000 * seconds
    const { status, code, text } = await get(server, key, '/v1/run')
    t.match({ status, code }, { status: 401, code: 'E_CLOCK' })
    t.match(JSON.parse(text).detail, words)
    t.ok(Math.abs(JSON.parse(text).details.seconds + seconds) <= 2)
  }
  for (const seconds of [clockWindow - 5, 5 - clockWindow, 0]) {
    ahead = 1000 * seconds
    t.equal((await get(server, key, '/v1/run')).status, 200, `${seconds} s are borne`)
  }
})

t.test('who is shut out stays out, at the next request', async (t) => {
  await using server = await startServer()
  const key = await member(server)
  await server.federation.revoke('a')
  for (const target of ['/v1/run', '/v1/next?settled=0&working=&heard=0', `/v1/blobs/${sha256(Buffer.of(1))}`]) {
    t.match(await get(server, key, target), { status: 403, code: 'E_REVOKED' }, target)
  }
  t.match(await post(server, key, '/v1/words', word), { status: 403, code: 'E_REVOKED' })
  t.same(server.federation.said, [])
})

t.test('uploads: other bytes, more bytes, other places, without a length', async (t) => {
  await using server = await startServer({ limits: { spoolBytes: 100_000 } })
  server.federation.mostBytes = 1000
  const key = await member(server)
  const bytes = randomBytes(600)
  const blob = sha256(bytes)
  const patch = (offset: unknown, length: unknown, body: Buffer, name = blob, change: Record<string, string> = {}) => {
    const target = `/v1/blobs/${name}`
    const fields = { 'upload-offset': String(offset), 'upload-length': String(length) }
    const signed = signRequest(key, 'PATCH', origin(server) + target, fields)
    return rawRequest(server, 'PATCH', target, { 'content-length': String(body.length), ...signed, ...change }, body)
  }
  t.match(await patch(0, 600, bytes.subarray(0, 300)), { status: 204, headers: { 'upload-offset': '300' } })
  t.match(await patch(0, 600, bytes), { status: 409, code: 'E_UPLOAD_OFFSET', headers: { 'upload-offset': '300' } })
  t.match(await patch(300, 500, bytes.subarray(300)), { status: 413, code: 'E_TOO_LARGE' }, 'more than announced')
  t.match(await patch(0, 1001, Buffer.alloc(1001), sha256(Buffer.alloc(1001))), { status: 413, code: 'E_TOO_LARGE' })
  t.match(await patch(0, 600, randomBytes(600), sha256(randomBytes(3))), { status: 422, code: 'E_HASH' })
  for (const bad of ['', '-1', '1.5', 'x', '1e3', '99999999999999999999']) {
    t.match(await patch(bad, 600, bytes), { status: 400, code: 'E_FORMAT' }, `offset '${bad}'`)
  }
  t.match(
    await patch(300, 600, bytes.subarray(300), blob, { 'upload-offset': '0' }),
    { status: 401, code: 'E_AUTH' },
    'an offset that was not signed',
  )
  t.match(
    await patch(300, 600, bytes.subarray(300)),
    { status: 201, headers: { 'upload-offset': '600' } },
    'canary: the rest',
  )
  t.same([...server.federation.whole.keys()], [blob])
})

t.test('messages: oversized, no JSON, unknown fields, without a length', async (t) => {
  await using server = await startServer({ limits: { messageBytes: 2000 } })
  const key = await member(server)
  t.match(await post(server, key, '/v1/words', { ...word, why: 'x'.repeat(3000) }), {
    status: 413,
    code: 'E_TOO_LARGE',
  })
  for (const bad of [
    { ...word, extra: 1 },
    { type: 'nothing' },
    [],
    null,
    { ...word, round: -1 },
    { ...word, round: 1e300 },
    { ...word, step: '0' },
  ]) {
    t.match(await post(server, key, '/v1/words', bad), { status: 400, code: 'E_FORMAT' }, JSON.stringify(bad))
  }
  const broken = Buffer.from('{"type":\xff', 'latin1')
  const target = '/v1/words'
  const signed = signRequest(key, 'POST', origin(server) + target, {}, broken)
  t.match(await rawRequest(server, 'POST', target, { ...signed, 'content-length': '9' }, broken), {
    status: 400,
    code: 'E_FORMAT',
  })
  const chunked = signRequest(key, 'POST', origin(server) + target, {}, json(word))
  t.match(await rawRequest(server, 'POST', target, { ...chunked, 'transfer-encoding': 'chunked' }, json(word)), {
    status: 400,
    code: 'E_FORMAT',
  })
  for (const query of [
    '',
    '?settled=-1&working=&heard=0',
    '?settled=0&working=x&heard=0',
    '?settled=0&working=0&heard=0',
    '?settled=1e9',
  ]) {
    t.match(await get(server, key, `/v1/next${query}`), { status: 400, code: 'E_FORMAT' }, query)
  }
  const announced = signRequest(key, 'POST', origin(server) + target, {}, Buffer.alloc(3000))
  const head = Object.entries({ ...announced, host: `127.0.0.1:${server.served.port}`, 'content-length': '3000' })
  t.match(
    await rawBytes(
      server,
      `POST ${target} HTTP/1.1\r\n${head.map(([field, value]) => `${field}: ${value}\r\n`).join('')}\r\n`,
    ),
    /^HTTP\/1.1 413 .*\r\nconnection: close\r\n/s,
    'no further request is read where a body was not',
  )
  t.same(server.federation.said, [])
})

t.test('paths, methods and versions that there are not', async (t) => {
  await using server = await startServer({ limits: { strangerRate: { burst: 1000 } } })
  const key = await member(server)
  const blob = sha256(Buffer.of(1))
  for (const target of [
    '/',
    '/v1',
    '/v1/run/',
    '//v1/run',
    '/v1/./run',
    '/v1/../v1/run',
    '/v1/%72un',
    '/v1/blobs/..%2f..%2fetc%2fpasswd',
    '/v1/blobs/../../etc/passwd',
    `/v1/blobs/${blob}/x`,
    `/v1/blobs/${blob.toUpperCase()}`,
    '/v2/run',
    '/metrics',
    '/healthz',
    '/v1/admin/status',
  ]) {
    t.match(await get(server, key, target), { status: 404, code: 'E_MISSING' }, target)
  }
  for (const [method, target] of [
    ['PUT', '/v1/run'],
    ['DELETE', `/v1/blobs/${blob}`],
    ['OPTIONS', '/v1/words'],
    ['POST', '/v1/next'],
    ['TRACE', '/v1/run'],
  ] as const) {
    t.match(
      await rawRequest(server, method, target, { 'fedlora-protocol': '1' }),
      { status: 405, code: 'E_UNSUPPORTED' },
      `${method} ${target}`,
    )
  }
  for (const version of ['2', '0', '1.0', '', 'x'.repeat(200)]) {
    const raw = await get(server, key, '/v1/run', 'GET', { 'fedlora-protocol': version })
    t.match(raw, { status: 426, code: 'E_VERSION' }, version.slice(0, 10))
    t.same(JSON.parse(raw.text).details.supported, [1])
  }
  t.match(await get(server, key, `/v1/blobs/${blob}`), { status: 404, code: 'E_BLOB_MISSING' })
})

t.test('bytes that are no HTTP, headers without end, upgrades: refused, and the server stays', async (t) => {
  await using server = await startServer()
  const key = await member(server)
  t.match(await rawBytes(server, 'hello\r\n\r\n'), /^HTTP\/1.1 400 /)
  t.match(await rawBytes(server, randomBytes(5000)), /^HTTP\/1.1 400 /)
  t.match(await rawBytes(server, `GET / HTTP/1.1\r\nhost: x\r\na: ${'x'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1.1 431 /)
  t.match(
    await rawBytes(
      server,
      'GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ),
    /^HTTP\/1.1 400 /,
  )
  t.match(await rawBytes(server, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 400 /, 'without a host')
  t.equal(await rawBytes(server, 'GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'), '')
  t.equal(await rawBytes(server, 'CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n'), '')
  t.ok(server.refused.length >= 4)
  t.equal((await get(server, key, '/v1/run')).status, 200, 'it answers as before')
})

t.test('too much: of strangers, of a client, of everybody', async (t) => {
  const limits = { strangerRate: { perSecond: 0.01, burst: 4 }, clientRate: { perSecond: 0.01, burst: 5 } }
  await using server = await startServer({ limits })
  const key = await member(server)
  for (let i = 0; i < 5; i++) t.equal((await get(server, key, '/v1/run')).status, 200)
  t.match(
    await get(server, key, '/v1/run'),
    { status: 429, code: 'E_RATE', headers: { 'retry-after': /^\d+$/ } },
    'a client',
  )
  for (let i = 0; i < 3; i++) t.equal((await get(server, makeSigningKey(), '/v1/run')).status, 401)
  t.match(await get(server, makeSigningKey(), '/v1/run'), { status: 429, code: 'E_RATE' }, 'an address')
})

t.test('a request at a time too many, a second upload, and uploads beyond the spool', async (t) => {
  await using server = await startServer({ limits: { requestsPerClient: 2, spoolBytes: 1000 } })
  const [a, b] = [await member(server, 'a'), await member(server, 'b')]
  const begin = (key: SigningKey, name: string) => {
    const target = `/v1/blobs/${sha256(Buffer.from(name))}`
    const signed = signRequest(key, 'PATCH', origin(server) + target, { 'upload-offset': '0', 'upload-length': '900' })
    const head = Object.entries({ ...signed, host: `127.0.0.1:${server.served.port}`, 'content-length': '900' })
    const text = `PATCH ${target} HTTP/1.1\r\n${head.map(([field, value]) => `${field}: ${value}\r\n`).join('')}\r\n`
    return rawBytes(server, text, 'x') // the rest does not come
  }
  const open = begin(a, 'one')
  while (server.federation.begun.size === 0 && !server.federation.isBusy) await new Promise(setImmediate)
  t.match(await begin(a, 'two'), /^HTTP\/1.1 409 .*E_UPLOAD_BUSY/s)
  t.match(await begin(b, 'three'), /^HTTP\/1.1 503 .*E_RATE/s)
  const wait = get(server, a, '/v1/next?settled=0&working=&heard=0')
  while (server.served.waiting() === 0) await new Promise(setImmediate)
  t.match(await get(server, a, '/v1/run'), { status: 429, code: 'E_RATE' })
  t.equal((await get(server, b, '/v1/run')).status, 200, 'others are not held up')
  server.federation.notify('a', { type: 'over', round: 1 })
  t.equal((await wait).status, 200)
  await server.served.close()
  t.equal(await open, '', 'the end of the server cuts what does not end')
})

t.test('one upload at a time: the next one waits, and for a slow one no longer than a second', async (t) => {
  await using server = await startServer({ limits: { uploads: 1 } })
  const [slow, quick] = [await member(server, 'a'), await member(server, 'b')]
  const head = (key: SigningKey, target: string, bytes: number) => {
    const fields = { 'upload-offset': '0', 'upload-length': String(bytes) }
    return { 'content-length': String(bytes), ...signRequest(key, 'PATCH', origin(server) + target, fields) }
  }
  const first = `/v1/blobs/${sha256(Buffer.from('slow'))}`
  const fields = Object.entries({ ...head(slow, first, 900), host: `127.0.0.1:${server.served.port}` })
  const text = fields.map(([field, value]) => `${field}: ${value}\r\n`).join('')
  const open = rawBytes(server, `PATCH ${first} HTTP/1.1\r\n${text}\r\n`, 'x') // the rest does not come
  while (!server.federation.isBusy) await new Promise(setImmediate)
  const bytes = randomBytes(600)
  const second = `/v1/blobs/${sha256(bytes)}`
  const began = performance.now()
  t.equal((await rawRequest(server, 'PATCH', second, head(quick, second, 600), bytes)).status, 201)
  t.ok(performance.now() - began > 500, 'it has waited')
  t.equal((await get(server, quick, '/v1/run')).status, 200)
  await server.served.close()
  await open
})

t.test('a sender slower than the floor is cut off, in the middle of an upload and of a message', async (t) => {
  await using server = await startServer({ limits: { slowestBytesPerSecond: 1000, slownessSeconds: 0.3 } })
  const key = await member(server)
  const drip = (method: string, target: string, fields: Record<string, string>) => {
    const head = Object.entries({ ...fields, host: `127.0.0.1:${server.served.port}`, 'content-length': '900' })
    return rawBytes(
      server,
      `${method} ${target} HTTP/1.1\r\n${head.map(([field, value]) => `${field}: ${value}\r\n`).join('')}\r\n`,
      'x',
    )
  }
  const target = `/v1/blobs/${createHash('sha256').update('slow').digest('hex')}`
  const upload = signRequest(key, 'PATCH', origin(server) + target, { 'upload-offset': '0', 'upload-length': '900' })
  t.equal(await drip('PATCH', target, upload), '')
  t.equal(server.federation.begun.get(target.slice(10))?.length, 1, 'what has come has come')
  t.equal(await drip('POST', '/v1/words', signRequest(key, 'POST', `${origin(server)}/v1/words`, {}, json(word))), '')
  t.same(server.federation.said, [])
  t.equal((await get(server, key, '/v1/run')).status, 200)
})

t.test(
  'connections that never become a request are closed: no handshake, no header, a header without end',
  async (t) => {
    await using server = await startServer({ limits: { headerSeconds: 0.3 } })
    const key = await member(server)
    const silent = new Promise<void>((resolve) => {
      createConnection({ host: '127.0.0.1', port: server.served.port })
        .on('error', () => {})
        .on('close', resolve)
    })
    const dripping = new Promise<string>((resolve) => {
      let text = ''
      const socket = connect({ host: '127.0.0.1', port: server.served.port, rejectUnauthorized: false }, () => {
        socket.write('GET /v1/run HTTP/1.1\r\nhost: x\r\n')
      })
      const timer = setInterval(() => socket.write('a: b\r\n'), 50)
      socket
        .on('error', () => {})
        .on('data', (chunk) => {
          text += chunk
        })
      socket.on('close', () => {
        clearInterval(timer)
        resolve(text)
      })
    })
    await silent
    t.match(await rawBytes(server), /^(HTTP\/1.1 408 |$)/, 'TLS and nothing after it')
    t.match(await dripping, /^HTTP\/1.1 408 /)
    t.equal((await get(server, key, '/v1/run')).status, 200)
  },
)

t.test('more connections than there is room for are closed', async (t) => {
  await using server = await startServer({ limits: { connections: 3 } })
  const held = Array.from({ length: 8 }, () => rawBytes(server, 'GET /v1/run HTTP/1.1\r\nhost: x\r\n'))
  while (server.refused.filter((code) => code === 'too many connections').length < 5)
    await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok((await server.served.connections()) <= 3)
  await server.served.close()
  await Promise.all(held)
})
