/**
 * Kills a federation at one point after another. One process is killed and started again; the other side lives in this one. What a series begins with is
 * a world that nobody disturbed, whose bits all others must have.
 */
import { fork } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { wrongWith } from './check.mjs'
import { startNats } from './nats.mjs'
import { names, openServer, takePart, work } from './world.mjs'

/** Memory where the system has it: what a killed process has written is there as well, and a flush costs nothing. */
function quickFolder() {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return '/dev/shm'
  } catch {
    return tmpdir()
  }
}

const place = (name) => fileURLToPath(new URL(name, import.meta.url))

/** A process that plays one side of worlds, and another one that has started already and takes its place when it was killed. */
class Side {
  #child
  #spare
  /** @param {'server' | 'worker' | 'clients'} role @param {import('./world.mjs').Kind} kind @param {string} [variant] */
  constructor(role, kind, variant) {
    this.kind = kind
    this.args = variant === undefined ? [role, kind] : [role, kind, variant]
    this.starts = 0
  }

  #fork() {
    const execArgv = ['--import', pathToFileURL(place('points.mjs')).href]
    return fork(place('child.mjs'), this.args, { execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  }

  #start() {
    this.#child = this.#spare ?? this.#fork()
    this.#spare = this.#fork()
    this.starts++
    return this.#child
  }

  /**
   * Plays a world until it has ended, killed at each of `kills`, which are counted from its start and every start again.
   * @param {{ world: string, kills: readonly (number | string)[], tokens?: object, onReady?: (tokens: object) => void, signal: AbortSignal }} options
   */
  async play({ world, kills, tokens, onReady, signal }) {
    const left = [...kills]
    const stop = () => this.stop()
    signal.addEventListener('abort', stop)
    try {
      for (;;) {
        const child = this.#child ?? this.#start()
        child.send({ type: 'world', world, at: left.shift() ?? null, log: join(world, 'killed'), tokens })
        const end = await outcome(child, onReady)
        signal.throwIfAborted()
        if (end.type === 'ended') return end
        this.#child = undefined
        if (end.how !== 'SIGKILL') throw new Error(`the process ended with ${end.how}`)
      }
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** Says that everybody has heard the end. */
  release() {
    this.#child?.send({ type: 'over' })
  }

  stop() {
    this.#child?.kill('SIGKILL')
    this.#spare?.kill('SIGKILL')
    this.#child = this.#spare = undefined
  }
}

/** How a life of a process ends: its world has, or it. */
function outcome(child, onReady) {
  return new Promise((resolve) => {
    const hear = (message) => {
      if (message.type === 'ready') onReady(message.tokens)
      else done(message)
    }
    const die = (code, signal) => done({ type: 'exit', how: signal ?? code })
    const done = (how) => {
      child.off('message', hear)
      child.off('exit', die)
      resolve(how)
    }
    child.on('message', hear)
    child.on('exit', die)
  })
}

/** Clients in this process, and a server that is killed. */
async function killServer(side, world, kills, signal) {
  let heard = false
  let ready
  const tokens = new Promise((resolve) => {
    ready = resolve
  })
  const onReady = (given) => {
    ready(given)
    if (heard) side.release()
  }
  const taking = names.map((name) => takePart(world, name, async () => (await tokens)[name], signal))
  const heardAll = Promise.all(taking).then(() => {
    heard = true
    side.release()
  })
  const played = () => Promise.all([side.play({ world, kills, onReady, signal }), heardAll])
  const [ended] = await withWorker(side.kind, world, played)
  return ended
}

/** A worker in this process, where a world has them, for as long as `during` lasts. */
async function withWorker(kind, world, during) {
  if (kind !== 'workers') return await during()
  const stop = new AbortController()
  const working = work(world, stop.signal)
  try {
    return await Promise.race([during(), working.then(() => Promise.reject(new Error('the worker has ended')))])
  } finally {
    stop.abort()
    await working.catch(() => {})
  }
}

/** Server and clients in this process, and a worker that is killed. */
async function killWorker(side, world, kills, signal) {
  const server = await openServer(world, side.kind)
  try {
    const playing = side.play({ world, kills, signal })
    const taking = names.map((name) => takePart(world, name, async () => server.tokens[name], signal))
    await Promise.race([Promise.all(taking), playing])
    await server.over
    const end = new AbortController()
    // A life that begins when all is over is told so, too.
    const releasing = (async () => {
      while (!end.signal.aborted) {
        side.release()
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })()
    const ended = await playing
    end.abort()
    await releasing
    return ended
  } finally {
    await server.close()
  }
}

/** A server in this process, and clients that are killed. */
async function killClients(side, world, kills, signal) {
  const server = await openServer(world, side.kind)
  try {
    const ended = await side.play({ world, kills, tokens: server.tokens, signal })
    await server.over
    return ended
  } finally {
    await server.close()
  }
}

/** Plays a world and judges it. */
async function playWorld(play, side, world, kills, reference, patience) {
  mkdirSync(world)
  const watch = new AbortController()
  const timer = setTimeout(() => watch.abort(new Error('the federation stands still')), patience)
  const wrong = await play(side, world, kills, watch.signal)
    // Who comes first where there are no rounds is nobody's to say again: the bits of such a world are its own.
    .then(() => wrongWith(world, side.kind === 'buffers' ? undefined : reference))
    .catch((error) => {
      watch.abort(error) // nobody of this world goes on
      return [String(error.stack ?? error)]
    })
  clearTimeout(timer)
  const log = join(world, 'killed')
  const killed = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []
  rmSync(world, { recursive: true })
  return { kills, killed, wrong }
}

/**
 * Runs worlds with the given kills and judges them.
 * @param {object} options
 * @param {'server' | 'worker' | 'clients'} options.role what is killed
 * @param {Iterable<readonly (number | string)[]>} options.kills for each world the points of its lives
 * @param {import('./world.mjs').Kind} [options.kind] of the worlds
 * @param {number} [options.lanes] worlds at a time
 * @param {number} [options.patience] milliseconds after which a world is taken to stand still
 * @param {string} [options.base] where worlds lie while they are played; default: in memory
 * @param {string} [options.variant] a server of broken.mjs
 * @param {(result: { kills: readonly (number | string)[], killed: string[], wrong: string[] }) => void} [options.onWorld]
 */
export async function series({
  role,
  kills,
  kind = 'rounds',
  lanes = 1,
  patience = 120_000,
  base = quickFolder(),
  variant,
  onWorld = () => {},
}) {
  const folder = mkdtempSync(join(base, 'fedlora-kill-'))
  const sides = Array.from({ length: lanes }, () => new Side(role, kind, variant))
  const play = { server: killServer, worker: killWorker, clients: killClients }[role]
  const reference = join(folder, 'reference')
  const stopNats = kind === 'workers' ? await startNats(folder) : () => {}
  try {
    const { passed, kinds } = await play(sides[0], reference, [], new AbortController().signal)
    const wrong = await wrongWith(reference)
    const results = /** @type {{ kills: readonly (number | string)[], killed: string[], wrong: string[] }[]} */ ([])
    const left = kills[Symbol.iterator]()
    let worlds = 0
    const lane = async (side) => {
      for (let next = left.next(); !next.done; next = left.next()) {
        const result = await playWorld(play, side, join(folder, String(worlds++)), next.value, reference, patience)
        results.push(result)
        onWorld(result)
      }
    }
    await Promise.all(sides.map(lane))
    return { passed, kinds, wrong, results, starts: sides.reduce((sum, { starts }) => sum + starts, 0) }
  } finally {
    for (const side of sides) side.stop()
    stopNats()
    rmSync(folder, { recursive: true, force: true })
  }
}
