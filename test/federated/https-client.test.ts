import { KeyObject, randomBytes, webcrypto } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTls } from 'node:https'
import { type AddressInfo, connect, createServer as createTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { joinServer } from '../../src/federated/https/client/join.js'
import { proxyFor } from '../../src/federated/https/client/proxy.js'
import { formatJoinToken, parseJoinToken } from '../../src/federated/https/join-token.js'
import { makeSigningKey } from '../../src/federated/https/keys.js'
import { openIdentity } from '../../src/federated/https/tls-folder.js'
import { type Started, sha256, startServer } from './support/https.js'

const never = new AbortController().signal
const known = { settled: 0, working: null, heard: 0 }

/** A wire between a client and a server that is cut after so many bytes, one number a connection; then it lets everything through. */
async function cutting(t: { teardown(end: () => void): void }, { served }: Started, cuts: number[]) {
  const open = new Set<Socket>()
  const wire = createTcp((near) => {
    const far = connect(served.port, '127.0.0.1')
    let left = cuts.shift() ?? Number.POSITIVE_INFINITY
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from)
      from.on('error', () => {}).on('close', () => to.destroy())
      from.on('data', (bytes) => {
        left -= bytes.length
        to.write(bytes)
        if (left < 0) near.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => wire.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    wire.close()
  })
  return `https://127.0.0.1:${(wire.address() as AddressInfo).port}`
}

/** A token that leads elsewhere. */
const moved = (token: string, change: Partial<ReturnType<typeof parseJoinToken>>) =>
  formatJoinToken({ ...parseJoinToken(token), ...change })

t.test('transfers go on where they were cut, in both directions, to the same bytes', async (t) => {
  await using server = await startServer()
  const folder = t.testdir()
  const cuts: number[] = []
  const address = await cutting(t, server, cuts)
  const { link } = await joinServer(moved(await server.invite('a'), { address }), folder)
  t.teardown(() => link.close())
  const bytes = randomBytes(3_000_000)
  const ref = { blob: sha256(bytes), bytes: bytes.length }
  const [up, down] = [join(folder, 'up'), join(folder, 'down')]
  await writeFile(up, bytes)
  cuts.push(...Array.from({ length: 6 }, (_, i) => 300_000 + 100_000 * i))
  await link.close()
  const attempts = async (call: () => Promise<void>) => {
    for (let attempt = 1; ; attempt++) {
      try {
        await call()
        return attempt
      } catch (error) {
        const { code } = error as { code: string }
        if (!/^E_(UNREACHABLE|UPLOAD_BUSY|UPLOAD_OFFSET)$/.test(code)) throw error
      }
    }
  }
  t.ok((await attempts(() => link.upload(ref, up, never))) > 3, 'it was cut')
  t.ok(server.federation.whole.get(ref.blob)?.equals(bytes))
  const from = server.answered.filter(({ route }) => route === 'upload').length
  t.ok(from > 3)
  cuts.length = 0
  cuts.push(...Array.from({ length: 5 }, () => 500_000))
  await link.close()
  t.ok((await attempts(() => link.download(ref, down, never))) > 3, 'it was cut')
  t.ok(bytes.equals(await readFile(down)))
  await t.rejects(stat(`${down}.part`))
  await writeFile(`${down}2.part`, Buffer.alloc(1000))
  await t.rejects(link.download(ref, `${down}2`, never), { code: 'E_HASH' }, 'canary: a part of something else')
  await link.download(ref, `${down}2`, never)
  t.ok(bytes.equals(await readFile(`${down}2`)), 'is forgotten')
})

t.test('a server that is not the token’s hears nothing', async (t) => {
  await using server = await startServer()
  await using other = await startServer()
  const folder = t.testdir()
  const token = await server.invite('a')
  const elsewhere = moved(token, { address: other.served.address })
  await t.rejects(joinServer(elsewhere, join(folder, 'x')), { code: 'E_AUTH' })
  t.equal(other.answered.length, 0, 'no request came')
  const { link } = await joinServer(token, join(folder, 'y'))
  await link.close()
  const later = await joinServer(elsewhere, join(folder, 'y'))
  await t.rejects(later.link.describe(never), { code: 'E_AUTH' }, 'nor later, by the authority that is known')
  await later.link.close()
  t.equal(other.answered.length, 0)
  const stranger = moved(await server.invite('b'), { key: makeSigningKey().name })
  await t.rejects(joinServer(stranger, join(folder, 'z')), { code: 'E_AUTH' }, 'another key of the run')
  await t.rejects(joinServer(await other.invite('a'), join(folder, 'y')), { code: 'E_CONFIG' }, 'another federation')
  const nowhere = moved(token, { address: 'https://127.0.0.1:9' })
  await t.rejects(joinServer(nowhere, join(folder, 'w')), { code: 'E_UNREACHABLE' })
})

t.test('answers that the run did not sign decide nothing', async (t) => {
  const folder = t.testdir()
  const names = ['127.0.0.1']
  const identity = await openIdentity(folder, { names: [] }, names, 'ab'.repeat(16))
  let status = 200
  let body = '{}'
  const liar = createTls({ cert: identity.chain, key: identity.key }, (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json', 'retry-after': '7' }).end(body)
  })
  await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve))
  t.teardown(() => liar.close().closeAllConnections())
  const address = `https://127.0.0.1:${(liar.address() as AddressInfo).port}`
  const token = formatJoinToken({
    address,
    run: 'ab'.repeat(16),
    key: makeSigningKey().name,
    secret: 'x',
    pin: identity.pin!,
  })
  const join1 = () => joinServer(token, join(folder, 'client'))
  body = '{"client":"a"}'
  await t.rejects(join1(), { code: 'E_AUTH' }, 'welcome by nobody')
  for (const code of ['E_REVOKED', 'E_TOKEN_USED', 'E_RUN_OVER', 'E_ROUND_CLOSED']) {
    ;[status, body] = [403, JSON.stringify({ code, detail: 'you are out', details: {} })]
    await t.rejects(join1(), { code: 'E_AUTH', details: { says: code } }, `${code} by nobody`)
  }
  ;[status, body] = [400, JSON.stringify({ code: 'E_FORMAT', detail: 'what is this', details: {} })]
  await t.rejects(join1(), { code: 'E_AUTH', details: { says: 'E_FORMAT' } }, 'the least status of a refusal')
  for (status of [408, 429, 500, 502, 503, 504]) {
    body = '<html>bad gateway</html>'
    await t.rejects(join1(), { code: 'E_UNREACHABLE', details: { retryAfter: 7 } }, `${status}: asked again`)
  }
})

t.test('through a proxy: by CONNECT, and by NO_PROXY past it', async (t) => {
  await using server = await startServer()
  const seen: string[] = []
  const proxy = createServer((_request, response) => response.writeHead(400).end())
  proxy.on('connect', (request, near: Socket) => {
    seen.push(`${request.url} ${request.headers['proxy-authorization']}`)
    if (request.headers['proxy-authorization'] === undefined)
      return near.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    const far = connect(server.served.port, '127.0.0.1', () => {
      near.write('HTTP/1.1 200 OK\r\n\r\n')
      near.pipe(far).pipe(near)
    })
    for (const socket of [near, far]) socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => proxy.close().closeAllConnections())
  const at = `127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const folder = t.testdir()
  const environment = { HTTPS_PROXY: `http://me:secret@${at}` }
  const { link } = await joinServer(await server.invite('a'), join(folder, 'a'), { environment })
  t.teardown(() => link.close())
  server.federation.notify('a', { type: 'over', round: 1 })
  t.same(await link.next(known, never), { type: 'over', round: 1 })
  const host = server.served.address.slice('https://'.length)
  t.same([...new Set(seen)], [`${host} Basic ${Buffer.from('me:secret').toString('base64')}`])
  await t.rejects(joinServer(await server.invite('b'), join(folder, 'b'), { environment: { https_proxy: at } }), {
    code: 'E_AUTH',
    message: /407/,
  })
  const closed = { HTTPS_PROXY: 'http://127.0.0.1:9' }
  await t.rejects(joinServer(await server.invite('c'), join(folder, 'c'), { environment: closed }), {
    code: 'E_UNREACHABLE',
  })
  const past = await joinServer(await server.invite('d'), join(folder, 'd'), {
    environment: { ...closed, NO_PROXY: 'x.org, 127.0.0.1' },
  })
  await past.link.close()
  const url = new URL('https://fed.example.org:8443')
  const by = (NO_PROXY: string) => proxyFor(url, { HTTPS_PROXY: 'http://p:1', NO_PROXY })?.host
  for (const exempt of ['*', 'example.org', '.example.org', 'FED.example.org', 'a b,fed.example.org:8443'])
    t.equal(by(exempt), undefined, exempt)
  for (const other of ['', 'ample.org', 'fed.example.org:443', 'org.example']) t.equal(by(other), 'p:1', other)
  t.throws(() => proxyFor(url, { HTTPS_PROXY: 'socks5://me:secret@p:1' }), {
    code: 'E_CONFIG',
    message: /^(?!.*secret)/,
  })
})

t.test('behind a proxy that ends TLS and takes a path away, signatures still fit', async (t) => {
  const folder = t.testdir()
  const identity = await openIdentity(folder, { names: [] }, ['127.0.0.1'], 'ab'.repeat(16))
  const front = createTls({ cert: identity.chain, key: identity.key })
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  const publicUrl = `https://127.0.0.1:${(front.address() as AddressInfo).port}/fed/`
  await using server = await startServer({
    tls: false,
    listen: { publicUrl },
    limits: { strangerRate: { burst: 1000 } },
  })
  const { request } = await import('node:http')
  front.on('request', (near, answer) => {
    const headers = { ...near.headers, host: 'inside', 'x-forwarded-for': '192.0.2.9' }
    const far = request(
      {
        port: server.served.port,
        host: '127.0.0.1',
        method: near.method,
        path: near.url!.replace(/^\/fed/, ''),
        headers,
      },
      (told) => {
        answer.writeHead(told.statusCode!, told.headers)
        told.pipe(answer)
      },
    )
    near.pipe(far)
  })
  t.teardown(() => front.close().closeAllConnections())
  const token = await server.invite('a')
  t.equal(parseJoinToken(token).address, publicUrl.slice(0, -1))
  t.equal(parseJoinToken(token).pin, undefined)
  await writeFile(join(folder, 'ca.pem'), identity.chain.split(/(?<=-----END CERTIFICATE-----\n)/)[1]!)
  const { link } = await joinServer(token, join(folder, 'a'), { authority: join(folder, 'ca.pem') })
  t.teardown(() => link.close())
  t.match(await link.describe(never), { name: 'fake' })
  await t.rejects(
    joinServer(await server.invite('b'), join(folder, 'b')),
    { code: 'E_AUTH' },
    'canary: an authority that the machine does not know',
  )
  t.equal(server.answered[0]!.address, '192.0.2.9', 'the address that the proxy tells')
})

/** A certificate for clients, which an operator's authority would make. */
async function clientCertificate(authority: string, authorityKey: string) {
  await import('reflect-metadata')
  const x509 = await import('@peculiar/x509')
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const bytes = Buffer.from(authorityKey.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  const made = await x509.X509CertificateGenerator.create({
    subject: 'CN=a',
    issuer: new x509.X509Certificate(authority).subjectName,
    notBefore: new Date(Date.now() - 1e6),
    notAfter: new Date(Date.now() + 1e7),
    publicKey: keys.publicKey,
    signingKey: await webcrypto.subtle.importKey('pkcs8', bytes, algorithm, false, ['sign']),
    signingAlgorithm: algorithm,
    extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
  })
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString()
  return { certificate: made.toString('pem'), key }
}

t.test('a server that asks for certificates talks to nobody without one of its authority', async (t) => {
  const folder = t.testdir()
  const made = await openIdentity(join(folder, 'clients'), { names: [] }, ['a'], 'cd'.repeat(16))
  const authority = made.chain.split(/(?<=-----END CERTIFICATE-----\n)/)[1]!
  const key = await readFile(join(folder, 'clients', 'tls', 'authority.key'), 'utf8')
  const own = { certificate: join(folder, 'c.pem'), key: join(folder, 'c.key') }
  await writeFile(join(folder, 'ca.pem'), authority)
  await using server = await startServer({ tls: { clientAuthority: join(folder, 'ca.pem') } })
  const refused = { code: /^E_(AUTH|UNREACHABLE)$/ }
  await t.rejects(joinServer(await server.invite('a'), join(folder, 'a')), refused, 'without one')
  await writeFile(own.certificate, made.chain)
  await writeFile(own.key, made.key)
  await t.rejects(joinServer(await server.invite('b'), join(folder, 'b'), own), refused, 'one for servers')
  t.equal(server.answered.length, 0)
  const good = await clientCertificate(authority, key)
  await writeFile(own.certificate, good.certificate)
  await writeFile(own.key, good.key)
  const { link, client } = await joinServer(await server.invite('c'), join(folder, 'c'), own)
  t.teardown(() => link.close())
  t.equal(client, 'c', 'canary: with one')
  t.match(await link.describe(never), { name: 'fake' })
})

t.test('what waits is answered when the server stops, and what is aborted ends at once', async (t) => {
  const server = await startServer()
  const folder = t.testdir()
  const { link } = await joinServer(await server.invite('a'), folder)
  t.teardown(() => link.close())
  const leaving = new AbortController()
  const aborted = link.next(known, leaving.signal)
  while (server.served.waiting() === 0) await new Promise(setImmediate)
  leaving.abort(new Error('enough'))
  await t.rejects(aborted, { message: 'enough' })
  while (server.served.waiting() > 0) await new Promise(setImmediate)
  const waiting = link.next(known, never)
  while (server.served.waiting() === 0) await new Promise(setImmediate)
  const closing = server[Symbol.asyncDispose]()
  t.equal(await waiting, undefined)
  await closing
  await t.rejects(link.describe(never), { code: 'E_UNREACHABLE' })
})

t.test('a server without room says when to come again, and its client waits until then', async (t) => {
  await using server = await startServer({ limits: { waiting: 0, waitSeconds: 300 } })
  const { link } = await joinServer(await server.invite('a'), t.testdir())
  t.teardown(() => link.close())
  const leaving = new AbortController()
  const asked = link.next(known, leaving.signal)
  while (!server.answered.some(({ status }) => status === 204)) await new Promise(setImmediate)
  for (let i = 0; i < 3; i++) await link.describe(never) // the answer is here by now
  leaving.abort(new Error('enough'))
  await t.rejects(asked, { message: 'enough' })
})
