import { readFile, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { joinServer } from '../../src/federated/https/client/join.js'
import { openHost } from '../../src/federated/https/operator/host.js'
import { Roles } from '../../src/federated/https/operator/tokens.js'
import { limitsSchema, listenSchema, tlsSchema } from '../../src/federated/https/options.js'
import type { Standing } from '../../src/federated/link/standing.js'
import { FakeFederation } from './support/https.js'

class Operated extends FakeFederation {
  readonly done: string[] = []

  standing(): Standing {
    const client = { name: 'a', state: 'idle' as const, seen: null, counted: 0, bytesUp: 0, bytesDown: 0 }
    const round = { round: 1, loss: 2.5, asked: 1, counted: 1, refused: 0, bytesUp: 5, bytesDown: 6, seconds: 1 }
    const base = {
      name: 'fake',
      run: this.run,
      state: 'running' as const,
      waitsFor: '',
      round: 1,
      rounds: 3,
      deadline: null,
    }
    return {
      ...base,
      clients: [client, { ...client, name: 'b' }],
      history: [round],
      problems: [],
      bytesUp: 5,
      bytesDown: 6,
    }
  }

  pause = async (who: string) => void this.done.push(`pause ${who}`)
  resume = async (who: string) => void this.done.push(`resume ${who}`)
  abandonRound = async (who: string) => void this.done.push(`abandon ${who}`)
  stop = async (who: string, why?: string) => void this.done.push(`stop ${who} ${why}`)
  exportAdapter = async () => ({ path: '/tmp/adapter' })
}

async function start(t: Test) {
  const folder = t.testdir()
  const federation = new Operated()
  const listen = listenSchema.parse({ host: '127.0.0.1', port: 0, admin: { port: 0 } })
  const host = await openHost({
    federation,
    run: federation.run,
    folder,
    listen,
    tls: tlsSchema.parse(undefined),
    limits: limitsSchema.parse({ drainSeconds: 1 }),
  })
  t.teardown(() => host.close())
  const token = async (role: string) => (await readFile(join(folder, `${role}.token`), 'utf8')).trim()
  const tokens = { operator: await token('operator'), observer: await token('observer') }
  const ask = (method: string, path: string, authorization?: string, body?: string, type = 'application/json') =>
    new Promise<{ status: number; text: string; type: string | undefined }>((resolve, reject) => {
      const headers = { ...(authorization && { authorization }), ...(body !== undefined && { 'content-type': type }) }
      const sent = request(host.operatorUrl + path, { method, headers, agent: false }, (response) => {
        let text = ''
        response.on('data', (chunk) => {
          text += chunk
          if (path === '/v1/standing') response.destroy()
        })
        response.on('close', () =>
          resolve({ status: response.statusCode!, text, type: response.headers['content-type'] }),
        )
      })
      sent.on('error', reject)
      sent.end(body)
    })
  return { folder, federation, host, tokens, ask }
}

t.test('tokens of roles: blanks around one are none of it, and blanks alone are no token', async (t) => {
  const folder = t.testdir({ 'operator.token': `\n ${'o'.repeat(32)} \r\n`, 'observer.token': `${'v'.repeat(32)}\n` })
  const roles = await Roles.open(folder)
  t.equal(roles.of(`Bearer ${'o'.repeat(32)}`, 'operator'), 'operator')
  t.equal(roles.of(`Bearer ${'v'.repeat(32)}`, 'observer'), 'observer')
  t.throws(() => roles.of(`Bearer ${'v'.repeat(32)}`, 'operator'), { code: 'E_AUTH' })
  for (const none of ['', ' '.repeat(40), `${'o'.repeat(31)}\n`]) {
    await writeFile(join(folder, 'operator.token'), none)
    await t.rejects(Roles.open(folder), { code: 'E_FORMAT', message: /operator\.token' holds no token/ })
  }
})

t.test('the page, health and figures are for everybody on the machine; the rest for who has a token', async (t) => {
  const { folder, ask, tokens, host } = await start(t)
  for (const role of ['operator', 'observer']) t.equal((await stat(join(folder, `${role}.token`))).mode & 0o777, 0o600)
  t.equal(JSON.parse(await readFile(join(folder, 'operator.json'), 'utf8')).url, host.operatorUrl)
  t.match(await ask('GET', '/'), { status: 200, type: /html/ })
  t.match(await ask('GET', '/healthz'), { status: 200 })
  t.match(await ask('GET', '/readyz'), { status: 200 })
  for (const path of ['/v1/standing', '/v1/admin/status', '/v1/admin/clients']) {
    t.match(await ask('GET', path), { status: 401, text: /E_AUTH/ }, `${path} without a token`)
    t.match(await ask('GET', path, `Bearer ${'x'.repeat(43)}`), { status: 401, text: /E_AUTH/ }, `${path} with another`)
    t.equal((await ask('GET', path, `Bearer ${tokens.observer}`)).status, 200, path)
    t.equal((await ask('GET', path, `Bearer ${tokens.operator}`)).status, 200, path)
  }
  t.match(await ask('GET', '/v1/standing', `Bearer ${tokens.observer}`), {
    type: /event-stream/,
    text: /^data: \{"name":"fake"/,
  })
  t.match(JSON.parse((await ask('GET', '/v1/admin/clients', `Bearer ${tokens.observer}`)).text), [
    { name: 'a' },
    { name: 'b' },
  ])
  for (const path of ['/v1/run', '/v1/admin/', '/../etc/passwd', '/operator.token', '/tls/run.key'])
    t.equal((await ask('GET', path)).status, 404, path)
})

t.test('who looks cannot act; who acts is written down', async (t) => {
  const { folder, federation, ask, tokens } = await start(t)
  const [operator, observer] = [`Bearer ${tokens.operator}`, `Bearer ${tokens.observer}`]
  const acts = ['invite', 'revoke', 'pause', 'resume', 'abandon-round', 'stop', 'export'].map(
    (verb) => `/v1/admin/${verb}`,
  )
  for (const path of acts) {
    t.match(await ask('POST', path, undefined, '{}'), { status: 401 }, path)
    t.match(await ask('POST', path, observer, '{}'), { status: 403, text: /E_AUTH/ }, path)
    t.match(await ask('GET', path, operator), { status: 405 }, path)
    t.match(await ask('POST', path, operator, 'a=b', 'application/x-www-form-urlencoded'), { status: 400 }, path)
    for (const bad of ['[]', 'x', '{"extra":1}', '5'])
      t.match(await ask('POST', path, operator, bad), { status: 400 }, `${path} ${bad}`)
  }
  t.same(federation.done, [], 'nothing was done')
  t.match(await ask('POST', '/v1/admin/invite', operator, '{}'), { status: 400, text: /E_CONFIG/ })
  t.match(await ask('POST', '/v1/admin/invite', operator, '{"name":"a","seconds":-1}'), { status: 400 })
  const { token } = JSON.parse((await ask('POST', '/v1/admin/invite', operator, '{"name":"a"}')).text)
  const { link, client } = await joinServer(token, join(folder, 'client'))
  t.teardown(() => link.close())
  t.equal(client, 'a', 'the token that it gives lets one in')
  for (const verb of ['pause', 'resume', 'abandon-round'])
    t.equal((await ask('POST', `/v1/admin/${verb}`, operator, '{}')).status, 200)
  const why = 'enough'.padEnd(1000, '!')
  const stopFor = (why: string) => ask('POST', '/v1/admin/stop', operator, JSON.stringify({ why }))
  t.match(await stopFor(`${why}!`), { status: 400, text: /why/ }, 'more words than there is room for')
  t.equal((await stopFor(why)).status, 200)
  t.same(federation.done, ['pause operator', 'resume operator', 'abandon operator', `stop operator ${why}`])
  t.same(JSON.parse((await ask('POST', '/v1/admin/export', operator, '{}')).text), { path: '/tmp/adapter' })
  t.equal((await ask('POST', '/v1/admin/revoke', operator, '{"name":"a"}')).status, 200)
  await t.rejects(link.describe(new AbortController().signal), { code: 'E_REVOKED' })

  const lines = (await readFile(join(folder, 'audit.ndjson'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(
    lines.map(({ who, did }) => `${who} ${did}`),
    [
      'operator invite',
      'a enroll',
      'operator pause',
      'operator resume',
      'operator abandon-round',
      'operator stop',
      'operator export',
      'operator revoke',
    ],
  )
  t.match(lines[0], { time: /^\d{4}-/, name: 'a', address: '127.0.0.1' })
  t.notMatch(JSON.stringify(lines), token.slice(0, 40), 'no secret in it')
  t.equal((await stat(join(folder, 'audit.ndjson'))).mode & 0o777, 0o600)
})

t.test('figures: of requests, of connections, of the federation', async (t) => {
  const { folder, host, ask } = await start(t)
  const lines: unknown[] = []
  host.log.info = (fields: object, words?: string) => void lines.push({ ...fields, words })
  const { link } = await joinServer(await host.invite('a', 60), join(folder, 'client'))
  t.same(lines, [{ client: 'a', address: '127.0.0.1', words: 'enrolled' }])
  t.teardown(() => link.close())
  await link.describe(new AbortController().signal)
  await t.rejects(joinServer(await host.invite('b', 60), join(folder, 'client'), { signal: AbortSignal.abort() }))
  const { text, type } = await ask('GET', '/metrics')
  t.match(type, /text\/plain/)
  for (const line of [
    'fedlora_requests_total{route="enroll",status="201",code=""} 1',
    'fedlora_requests_total{route="describe",status="200",code=""} 1',
    'fedlora_clients{state="idle"} 2',
    'fedlora_loss 2.5',
    'fedlora_rounds 3',
    'fedlora_received_bytes 5',
    'fedlora_enrolments_total 1',
    'fedlora_buffer_answers 0',
  ]) {
    t.ok(text.split('\n').includes(line), line)
  }
  t.match(text, /^fedlora_epsilon 0$/m)
  t.match(text, /^fedlora_connections [12]$/m)
  t.match(text, /^process_resident_memory_bytes \d+$/m)
  const { register } = await import('prom-client')
  t.same(register.getMetricsAsArray(), [], 'the global registry is left alone')
})
