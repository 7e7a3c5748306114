/** The server, a worker, or all clients, of one world after another, in a process that is killed: node --import points.mjs child.mjs server|worker|clients KIND [broken]. */
import { once } from 'node:events'
import { broken } from './broken.mjs'
import { names, openServer, takePart, work } from './world.mjs'

const { points } = /** @type {{ points: import('./points.mjs').Points }} */ (/** @type {unknown} */ (globalThis))
const [role, kindName, variant] = process.argv.slice(2)
const kind = /** @type {import('./world.mjs').Kind} */ (kindName)
const tell = (message) => process.send?.(message)
if (variant !== undefined) broken[variant]()

/** The next message of a type: that all have heard the end may be said twice, once to each life. */
async function heard(type) {
  for (;;) {
    const [message] = await once(process, 'message')
    if (message.type === type) return message
  }
}

async function serve(world) {
  const server = await openServer(world, kind)
  tell({ type: 'ready', tokens: server.tokens })
  await heard('over')
  await server.over
  await server.close()
}

async function take(world, tokens) {
  const { signal } = new AbortController()
  await Promise.all(names.map((name) => takePart(world, name, async () => tokens[name], signal)))
}

/** Works until all have heard the end. */
async function help(world) {
  const stop = new AbortController()
  const over = heard('over').then(() => stop.abort())
  await work(world, stop.signal)
  await over
}

const plays = { server: serve, worker: help, clients: take }

for (;;) {
  const { world, at, log, tokens } = await heard('world')
  points.arm(at ?? Number.POSITIVE_INFINITY, log)
  await plays[role](world, tokens)
  points.disarm()
  tell({ type: 'ended', passed: points.passed, kinds: points.kinds })
}
