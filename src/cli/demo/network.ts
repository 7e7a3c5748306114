/** The demo's federation as one server and three clients, each a process of its own, over HTTPS on this machine. */
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Dataset } from '../../data/index.js'
import { evaluate } from '../../evaluation/evaluate.js'
import type { RoundEvent } from '../../federated/events.js'
import { exists } from '../../files/atomic.js'
import type { Output } from '../output.js'
import { baseModelFolder } from './assets.js'
import { baselines } from './baselines.js'
import { Program, type ProgramEvent } from './programs.js'
import { recipe } from './recipe.js'
import { type Federated, type Place, teller } from './simulated.js'
import type { Stage } from './stage.js'

/** What the server is told; the clients know nothing but their token, their rows and the model. */
function configOf(folder: string, clients: Stage['clients'], maxLength: number) {
  return {
    name: 'demo',
    folder: join(folder, 'server'),
    listen: { host: '127.0.0.1', port: 0, admin: { port: 0 } },
    clients: { minimum: clients.length, minimumAnswers: clients.length, deadline: null },
    model: { path: baseModelFolder, ...recipe.model },
    adapter: recipe.adapter,
    data: { format: 'gsm8k', maxLength, overlong: 'truncate' },
    federation: { rounds: recipe.rounds, local: recipe.local, upload: recipe.upload, seed: recipe.seed },
  }
}

const rowsOf = (data: Dataset): string =>
  Array.from({ length: data.length }, (_, row) => `${JSON.stringify(data.row(row))}\n`).join('')

/** The file of a client's token, which the server makes the first time: one that is used up still says where the server is. */
async function tokenFileOf(config: string, folder: string, name: string): Promise<string> {
  const file = join(folder, `${name}.token`)
  if (await exists(file)) return file
  const invite = new Program(`inviting ${name}`, ['federation', 'invite', '--config', config, '--name', name])
  const token = String((await invite.first('result')).token)
  await writeFile(file, token, { mode: 0o600 })
  return file
}

async function joinAs({ name, train }: Stage['clients'][number], config: string, folder: string): Promise<Program> {
  const tokenFile = await tokenFileOf(config, folder, name)
  const rows = join(folder, `${name}.jsonl`)
  await writeFile(rows, rowsOf(train))
  const threads = Math.max(1, Math.floor(availableParallelism() / 3))
  const places = ['--data', rows, '--model', baseModelFolder, '--folder', join(folder, name)]
  return new Program(`client ${name}`, ['join', '--token-file', tokenFile, ...places, '--threads', String(threads)])
}

/** The rounds, from their first to their last, and all processes to their end. */
async function rounds({ clients, model }: Stage, folder: string, tell: (event: ProgramEvent) => void): Promise<void> {
  const config = join(folder, 'federation.json')
  const places = join(folder, 'clients')
  await mkdir(places, { recursive: true })
  await writeFile(config, JSON.stringify(configOf(folder, clients, model.config.maxPositions), null, 2))
  const server = new Program('the server', ['serve', '--config', config])
  const programs = [server]
  const begin = async () => {
    for (const client of clients) programs.push(await joinAs(client, config, places))
    const ends = programs.slice(1).map(async (program) => {
      for await (const _ of program.events());
    })
    await Promise.all(ends)
  }
  try {
    let clientsEnd: Promise<void> | undefined
    for await (const event of server.events()) {
      if (event.type === 'listening') {
        clientsEnd = begin()
        clientsEnd.catch(() => server.stop()) // thrown below
      }
      tell(event)
    }
    await clientsEnd
  } finally {
    for (const program of programs) program.stop()
  }
}

/** Sums over the rounds, as a simulation's result has them. */
function sumsOf(rounds: readonly RoundEvent[]) {
  const sum = (of: (event: RoundEvent) => number) => rounds.reduce((total, event) => total + of(event), 0)
  return {
    bytesUp: sum(({ bytesUp }) => bytesUp),
    bytesUpRaw: sum(({ bytesUpRaw }) => bytesUpRaw),
    bytesDown: sum(({ bytesDown }) => bytesDown),
    bytesDownRaw: sum(({ bytesDownRaw }) => bytesDownRaw),
    tokensPerSecond: sum(({ tokens }) => tokens) / sum(({ seconds }) => seconds.total),
  }
}

/** The demo's federation between processes, and what it is compared with, in this one. */
export async function networked(
  stage: Stage,
  { folder }: Place,
  output: Output,
  signal: AbortSignal,
): Promise<Federated> {
  const tell = teller(output)
  const ended: RoundEvent[] = []
  await rounds(stage, folder, (event) => {
    if (event.type === 'result' || event.type === 'error') return
    output.event(event)
    if (event.type === 'listening') output.text(`  the server listens at ${event.url}; three clients join it`)
    if (event.type !== 'round') return
    const round = event as unknown as RoundEvent
    ended.push(round)
    tell(round)
  })
  signal.throwIfAborted()
  const adapter = await stage.model.loadAdapter(join(folder, 'server', 'adapter'))
  try {
    const evaluation = await evaluate(adapter, stage.held, { signal })
    output.event({ type: 'evaluation', round: ended.length, of: 'global', ...evaluation })
    return { adapter, evaluation, baselines: await baselines(stage, folder, output, signal), ...sumsOf(ended) }
  } catch (error) {
    adapter.dispose()
    throw error
  }
}
