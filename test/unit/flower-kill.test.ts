/**
 * A node that is killed at every step that leaves a mark (writes, flushes, renames, removals, requests and their answers), and started again:
 * no reply is lost or counted twice, and what is sent again is byte for byte what was sent. Up to SuperLink 1.42 the server hands a message out
 * once, so that a node killed between that and having it on disk loses it; that, and nothing else, is lost there.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { fleetMethods } from '../../src/flower/wire/fleet.js'
import { live } from '../support/flower/death.js'
import { FleetServer } from '../support/flower/fleet-server.js'
import { addOne, makeSite, quick, type Site, startNode, weights } from '../support/flower/node.js'
import { runProgram } from '../support/programs.js'

const one = new Map([...weights(1)].slice(0, 1))

/** Instructs the node as soon as the server knows it. */
function onceRegistered(server: () => FleetServer) {
  let asked = false
  return (method: string) => {
    const [id] = server().online
    if (method === 'pull-messages' && id !== undefined && !asked) {
      asked = true
      server().instruct(id, 'train', one, { 'server-round': 1n })
    }
    return undefined
  }
}

/** Bodies of push-messages that were sent, one for every reply. */
function repliesSent(server: FleetServer): Map<string, Set<string>> {
  const sent = new Map<string, Set<string>>()
  for (const body of server.announced) {
    const { messages } = fleetMethods['push-messages'].request.decode(Buffer.from(body, 'hex'))
    const to = messages[0]?.metadata?.replyToMessageId
    if (to) sent.set(to, (sent.get(to) ?? new Set()).add(body))
  }
  return sent
}

/** Where flushing costs nothing: what is flushed in which order is what is tested, not the disk. */
function memoryFolder(t: Test): string {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'fedlora-flower-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

interface Outcome {
  server: FleetServer
  steps: number
  dead: boolean
  last: string
}

async function killedAt(at: number, delivery: 'once' | 'least', site: Site): Promise<Outcome> {
  const server: FleetServer = await FleetServer.start({ delivery, meddle: onceRegistered(() => server) })
  const pace = { ...quick, heartbeat: 1, grace: 0.02 }
  const { steps, dead, last } = await live(at, () => startNode(server, site, { pace, idle: 0.03 }))
  // A real death ends the process, with which its lock ends: here they are one process.
  const locks = existsSync(site.folder) ? readdirSync(site.folder).filter((name) => name.startsWith('lock.')) : []
  for (const name of locks) rmSync(join(site.folder, name))
  if (dead) await startNode(server, site, { pace, idle: 0.03 })
  await server.close()
  return { server, steps, dead, last }
}

function judge(t: Test, { server, last }: Outcome, delivery: 'once' | 'least', at: number): number {
  const where = `killed at step ${at}, ${last}`
  const lost = 1 - server.replies.length
  const mayLose = delivery === 'once' && /pull-messages|mkdir|open|writeFile|sync|rename/.test(last)
  if (lost !== 0 && !(lost === 1 && mayLose)) t.fail(`${where}: ${lost} lost`)
  if (server.faults.length > 0) t.fail(`${where}: ${server.faults[0]}`)
  for (const bodies of repliesSent(server).values())
    if (bodies.size !== 1) t.fail(`${where}: ${bodies.size} replies to one message`)
  const { content } = server.replies.find(({ metadata }) => metadata.messageType === 'train') ?? {}
  if (content !== undefined && content.arrays.get('arrays')!.get('layer.lora_A.weight')!.data[0] !== 2)
    t.fail(`${where}: another adapter`)
  return lost
}

for (const delivery of ['least', 'once'] as const) {
  t.test(`killed at every step, messages handed out ${delivery}`, async (t) => {
    const folder = memoryFolder(t)
    const life = async (at: number) => {
      mkdirSync(join(folder, String(at)))
      return await killedAt(at, delivery, makeSite(join(folder, String(at))))
    }
    const { steps } = await life(0)
    t.ok(steps > 90, `${steps} steps in a life`)
    let lost = 0
    let next = 1
    const lane = async () => {
      for (let at = next++; at <= steps; at = next++) {
        if (delivery === 'once' && at % 3 > 0) continue
        lost += judge(t, await life(at), delivery, at)
      }
    }
    await Promise.all(Array.from({ length: 12 }, lane))
    if (delivery === 'least') t.equal(lost, 0)
    else t.ok(lost < steps / 5, `${lost} lost between the answer of pull-messages and the file`)
  })
}

t.test('a canary: a node that makes its reply anew is caught', async (t) => {
  const server: FleetServer = await FleetServer.start({ delivery: 'least', meddle: onceRegistered(() => server) })
  const folder = t.testdir()
  const site = makeSite(folder)
  const stop = new AbortController()
  const meddled = startNode(server, site, {
    signal: stop.signal,
    idle: undefined,
    work: (instruction) => addOne(instruction),
  })
  for await (const event of meddled.events()) if (event.type === 'delivered') stop.abort()
  await meddled.catch(() => {})
  // Another folder knows nothing of the replies under way; the key is the same.
  const anew = { ...site, folder: `${site.folder}-2` }
  server.instruct(server.online[0]!, 'train', weights(1))
  const { nodeId } = JSON.parse(readFileSync(join(site.folder, 'node.json'), 'utf8'))
  t.equal(nodeId, String(server.online[0]))
  mkdirSync(anew.folder)
  await startNode(server, anew, {
    work: (instruction) => ({ ...addOne(instruction), metrics: { loss: Math.random(), 'num-examples': 1n } }),
  })
  await server.close()
  t.ok(server.replies.length > 0)
  const twice = [...repliesSent(server).values(), new Set(['a', 'b'])].filter((bodies) => bodies.size !== 1)
  t.equal(twice.length, 1)
})

t.test('and by SIGKILL, in a process of its own', async (t) => {
  const folder = t.testdir()
  for (const [at, method] of ['confirm-message-received', 'push-object'].entries()) {
    mkdirSync(join(folder, String(at)))
    const site = makeSite(join(folder, String(at)))
    const words = (server: FleetServer) => [server.url, site.key, site.folder]
    let kill = () => {}
    const instruct = onceRegistered(() => server)
    const server: FleetServer = await FleetServer.start({
      delivery: 'least',
      meddle(called) {
        instruct(called)
        if (called === method) kill()
        return called === method && !killed ? 'drop' : undefined
      },
    })
    let killed = false
    const first = await runProgram('flower/node-child.mjs', words(server), {
      onOutput: (_text, child) => {
        kill = () => {
          killed ||= child.kill('SIGKILL')
        }
      },
    })
    t.equal(first.signal, 'SIGKILL', method)
    const second = await runProgram('flower/node-child.mjs', words(server))
    t.equal(second.code, 0, second.stderr)
    judge(t, { server, steps: 0, dead: true, last: method }, 'least', at)
    await server.close()
  }
})
