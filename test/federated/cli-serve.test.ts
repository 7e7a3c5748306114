/** `fedlora serve`, `join` and `federation` as processes: a federation to its end, with simulate's bits; killed and begun again; everything refused. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { allowanceOf } from '../../src/cli/join/allowance.js'
import { planServer } from '../../src/cli/serve/sections.js'
import { objects } from '../support/command.js'
import { goldenFolder } from '../support/golden-model.js'
import { federation, freePort, Place, servedAdapter, simulatedAdapter } from './support/served.js'

const names = ['a', 'b']

const simulated = (folder: string) => simulatedAdapter(folder, names)
const served = servedAdapter

t.test('from the first invitation to the adapter, with the bits of simulate', async (t) => {
  const place = new Place(t.testdir(), await freePort(), names)
  const first = await place.invite('a')
  const server = place.serve(t)
  const listening = await server.seen('listening')
  t.match(listening, { url: /^https:\/\/127\.0\.0\.1:\d+$/, page: /^http:/, name: 'test', round: 0, rounds: 3 })
  const second = await place.invite('b')
  const file = join(place.folder, 'token.txt')
  writeFileSync(file, `${first}\n`, { mode: 0o600 })
  const clients = [place.join(t, file, 'a'), place.join(t, second, 'b')]
  for (const client of clients) t.match(await client.ended, { code: 0, stderr: /3 answers of this client counted/ })
  const { code, stdout, stderr } = await server.ended
  t.equal(code, 0, stderr)
  const events = objects(stdout)
  t.equal(events[0]!.type, 'listening', 'the first line')
  t.equal(events.filter(({ type }) => type === 'client').length, 6)
  t.equal(events.filter(({ type }) => type === 'round').length, 3)
  t.match(events.at(-1), { type: 'result', rounds: 3 })
  t.same(await served(place.folder), await simulated(place.folder))
  t.match(await place.operate('status'), { code: 0, stdout: /"state":"finished"/ }, 'its folder still knows')
  const again = await place.join(t, first, 'a').ended
  t.match(again, { code: 0 }, 'whoever has taken part to the end is told so again, without a server')
})

t.test('killed in the middle, server and clients, and begun again: the same adapter', async (t) => {
  const place = new Place(t.testdir(), await freePort(), names)
  const tokens = [await place.invite('a'), await place.invite('b')]
  const joinAll = () => names.map((name, i) => place.join(t, tokens[i]!, name))
  const server = place.serve(t)
  const [a, b] = joinAll()
  await server.seen('round', ({ round }) => round === 1)
  for (const { child } of [server, a!]) child.kill('SIGKILL')
  await Promise.all([server.ended, a!.ended])
  const back = place.serve(t)
  const c = place.join(t, tokens[0]!, 'a')
  for (const client of [c, b!]) t.match(await client.ended, { code: 0 }, 'to the end, with the used token')
  t.match(await back.ended, { code: 0 })
  t.same(await served(place.folder), await simulated(place.folder))
  const rows = objects((await back.ended).stdout)
  t.match(rows[0], { type: 'listening' })
  t.ok(Number(rows[0]!.round) >= 1, 'it goes on behind the rounds that are done')
})

t.test('SIGTERM lets requests end, Ctrl-C does not; an operator looks in, pauses, shuts out', async (t) => {
  const place = new Place(t.testdir(), await freePort(), names)
  const token = await place.invite('a')
  const server = place.serve(t)
  await server.seen('listening')
  const client = place.join(t, token, 'a')
  await server.seen('joined')
  const status = objects((await place.operate('status')).stdout).at(-1)!
  t.match(status, { type: 'result', runs: true, state: 'waiting', waitsFor: /1 more client; 1 of 2 have joined/ })
  t.match(await place.operate('pause'), { code: 0, stdout: /"state":"paused"/ })
  t.match(await place.operate('revoke', '--name', 'nobody'), { code: 1, stdout: /there is no client/ })
  t.match(await place.operate('revoke', '--name', 'a'), { code: 0 })
  t.match(await client.ended, { code: 1, stdout: /E_REVOKED/ })
  server.child.kill('SIGTERM')
  t.match(await server.ended, { code: 143, stderr: /the same command goes on/ })
  const clients = objects((await place.operate('clients')).stdout).at(-1)!
  t.match(clients, { runs: false, state: 'paused', clients: [{ name: 'a', state: 'revoked' }] })
  const again = place.serve(t)
  await again.seen('listening')
  again.child.kill('SIGINT')
  t.match(await again.ended, { code: 130 })
  t.notOk(existsSync(join(place.folder, 'server', 'adapter')))
})

t.test('a federation that is over says for whom it waits, and no longer than it is told to', async (t) => {
  const place = new Place(t.testdir(), await freePort(), names, { limits: { lingerSeconds: 0.2 } })
  const token = await place.invite('a')
  const server = place.serve(t)
  await server.seen('listening')
  const client = place.join(t, token, 'a')
  await server.seen('joined')
  client.child.kill('SIGKILL')
  await client.ended
  t.match(await place.operate('stop'), { code: 0 })
  t.match(await server.seen('lingering'), { clients: ['a'], seconds: 0.2 })
  t.match(await server.ended, { code: 0, stderr: /a did not hear of it, and will when the same command runs again/ })
})

t.test('what is wrong is refused, before a model is read', async (t) => {
  const sound = {
    folder: 'server',
    model: { path: '/nowhere' },
    data: { format: 'tokens' },
    federation,
  }
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ folder: undefined }, /needs the sections folder, model, data, federation; missing: folder/],
    [{ listen: { prot: 1 } }, /unknown key "prot" \(did you mean "port"\?\)/],
    [{ listen: { port: 70000 } }, /listen: port: got 70000/],
    [{ data: { format: 'tokens', path: 'rows.jsonl' } }, /data: unknown key "path"/],
    [
      { federation: { ...federation, attackers: { a: 'signflip' } } },
      /federation\.attackers: only a simulation has it/,
    ],
    [{ federation: { ...federation, clock: {} } }, /federation\.clock: only a simulation has it.*clients\.deadline/],
    [{ federation: { ...federation, baselines: ['local'] } }, /federation\.baselines: only a simulation/],
    [{ federation: { ...federation, rounds: 0 } }, /federation: rounds: got 0/],
    [{ tls: { certificate: 'a.pem' } }, /tls: key: .*beside tls\.certificate/],
    [{ privacy: { level: 'client' } }, /privacy: clip/],
    [
      {
        privacy: { level: 'client', clip: 1, epsilon: 1, delta: 1e-5 },
        federation: { ...federation, privacy: { level: 'client', clip: 1, epsilon: 1, delta: 1e-5 } },
      },
      /privacy and federation\.privacy say the same/,
    ],
  ]
  for (const [changes, message] of cases) {
    await t.rejects(planServer({}, { ...sound, ...changes }), { message }, JSON.stringify(changes).slice(0, 60))
  }
  await t.resolves(planServer({}, sound), 'canary: the rest is sound')
  const unknown = new Place(t.testdir(), 1, names, { federations: {} })
  const { code, stderr } = await unknown.operate('status')
  t.match({ code, stderr }, { code: 2, stderr: /federation\.json:1:\d+: unknown section "federations"; did you mean/ })
})

t.test('tokens and models that are not right', async (t) => {
  const place = new Place(t.testdir(), await freePort(), names)
  const token = await place.invite('a')
  const cut = await place.join(t, token.slice(0, -3), 'a').ended
  t.match(cut, { code: 2, stdout: /"code":"E_TOKEN"/ })
  const server = place.serve(t)
  await server.seen('listening')
  const client = place.join(t, token, 'a')
  await server.seen('joined')
  client.child.kill('SIGTERM')
  t.match(await client.ended, { code: 143 })
  const other = await place.join(t, token, 'b').ended
  t.match(other, { code: 1, stdout: /"code":"E_TOKEN_USED"/ }, 'in another folder')
  t.same(
    objects(other.stdout).map(({ type }) => type),
    ['error'],
    'a failure is told once',
  )
  const foreign = await place.join(t, await place.invite('b'), 'b', '--model', goldenFolder('mistral')).ended
  t.match(foreign, { code: 1, stdout: /"code":"E_BASE"/ }, 'another base')
  t.match(await place.join(t, token, 'a', '--approve').ended, { code: 2, stderr: /asks at the terminal/ })
})

t.test('what a client allows, as flags', async (t) => {
  const given = { between: '22:00-06:00', 'on-mains': true, 'limit-memory': '3 GiB', 'limit-bytes-up': '8 MiB' }
  t.match(await allowanceOf(given, 'folder'), {
    folder: 'folder',
    between: '22:00-06:00',
    onIdle: false,
    onMains: true,
    limits: { memory: 3 * 2 ** 30, bytesUp: 8 * 2 ** 20 },
  })
  const wrong: [Record<string, string | number>, RegExp][] = [
    [{ between: '25:00-26:00' }, /between/],
    [{ 'limit-memory': 'much' }, /limits\.memory: got "much"/],
    [{ 'limit-steps': 0 }, /limits\.steps: got 0/],
    [{ device: 'tpu' }, /device/],
  ]
  for (const [flags, message] of wrong)
    await t.rejects(allowanceOf(flags, 'folder'), { message }, JSON.stringify(flags))
})
