/** `fedlora serve`, `join` and `federation` over a real NATS: to the end with simulate's bits; killed in the middle and begun again. */
import t, { type Test } from 'tap'
import { objects } from '../support/command.js'
import { temporaryFolder } from '../support/train.js'
import { natsOf, skipNats } from './support/nats-server.js'
import { Place, type Process, servedAdapter, simulatedAdapter } from './support/served.js'

const names = ['a', 'b']

/** A NATS, and a place whose server comes to it. */
async function place(t: Test, changes: Record<string, unknown> = {}) {
  const folder = temporaryFolder('nats-cli')
  const nats = await natsOf(t, folder, 'test', names)
  const section = { url: nats.servers, credentials: nats.files.server, monitor: nats.monitor, space: 'test', lease: 2 }
  const made = new Place(folder, 0, names, {
    listen: { admin: { port: 0 } },
    nats: section,
    ...changes,
  })
  const joinAs = (name: string, ...more: string[]) => made.join(t, nats.files.clients[name]!, name, ...more)
  return { nats, place: made, joinAs, section }
}

t.test('fedlora over NATS', { skip: skipNats }, async (t) => {
  t.test('from nats init to the adapter, with the bits of simulate', async (t) => {
    const { place: made, joinAs, nats } = await place(t)
    const server = made.serve(t)
    t.match(await server.seen('listening'), { url: nats.servers, page: /^http:/, round: 0, rounds: 3 })
    const clients = names.map((name) => joinAs(name))
    for (const client of clients) t.match(await client.ended, { code: 0, stderr: /3 answers of this client counted/ })
    const { code, stdout, stderr } = await server.ended
    t.equal(code, 0, stderr)
    t.equal(objects(stdout).filter(({ type }) => type === 'round').length, 3)
    t.same(await servedAdapter(made.folder), await simulatedAdapter(made.folder, names))
    t.match(await made.operate('status'), { code: 0, stdout: /"state":"finished"/ }, 'NATS still knows')
    const { stdout: invited } = await made.operate('invite', '--name', 'a')
    t.match(objects(invited).at(-1), { name: 'a', token: 'a.json' }, 'the file that it has')
    t.match(await joinAs('a').ended, { code: 0 }, 'whoever has taken part to the end is told so again')
  })

  t.test('server, client and NATS killed in the middle, and begun again: the same adapter', async (t) => {
    const { place: made, joinAs, nats } = await place(t)
    const server = made.serve(t)
    const [a, b] = names.map((name) => joinAs(name)) as [Process, Process]
    await server.seen('round', ({ round }) => round === 1)
    for (const { child } of [server, a]) child.kill('SIGKILL')
    await Promise.all([server.ended, a.ended])
    await nats.kill()
    await nats.restart()
    t.match(await made.operate('pause'), { code: 0, stdout: /"state":"paused"/ }, 'a word while no server runs')
    const back = made.serve(t)
    await back.seen('listening')
    const c = joinAs('a')
    t.match(await made.operate('resume'), { code: 0 })
    for (const client of [b, c]) t.match(await client.ended, { code: 0 })
    t.match(await back.ended, { code: 0 })
    t.same(await servedAdapter(made.folder), await simulatedAdapter(made.folder, names))
  })
})
