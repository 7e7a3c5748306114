/** A server and clients as processes of the command line, over a golden model and rows of ids. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { loadDataset } from '../../../src/data/index.js'
import { simulate } from '../../../src/federated/index.js'
import { loadModel } from '../../../src/model/load.js'
import { fedlora, objects, program } from '../../support/command.js'
import { goldenFolder } from '../../support/golden-model.js'
import { type Ended, follow } from '../../support/programs.js'

export const model = goldenFolder('llama')

/** A port that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Rows of a client, told apart by its name. */
export function rowsOf(name: string, count = 6): { input_ids: number[] }[] {
  const shift = name.charCodeAt(0) * 13
  return Array.from({ length: count }, (_, row) => ({
    input_ids: Array.from({ length: 8 + (row % 4) }, (_, i) => 3 + ((shift + row * 31 + i * 7) % 250)),
  }))
}

export const federation = {
  rounds: 3,
  local: { steps: 2, batchSize: 2, learningRate: 5e-3 },
  upload: { codec: 'int4' as const },
  seed: 5,
}
export const adapter = { rank: 4, seed: 3 }

/** The adapter that `simulate` makes of the same clients. */
export async function simulatedAdapter(folder: string, names: readonly string[]): Promise<Float32Array> {
  const base = await loadModel(model)
  const clients = await Promise.all(
    names.map(async (name) => ({
      name,
      train: await loadDataset(join(folder, `${name}.jsonl`), { format: 'tokens' }),
    })),
  )
  const result = await simulate({ model: base, adapter, clients, ...federation })
  const values = result.adapter.vector()
  base.dispose()
  return values
}

/** The one that a server has left. */
export async function servedAdapter(folder: string, server = 'server'): Promise<Float32Array> {
  const base = await loadModel(model)
  const trained = await base.loadAdapter(join(folder, server, 'adapter'))
  const values = trained.vector()
  base.dispose()
  return values
}

export interface Process {
  child: ChildProcess
  ended: Promise<Ended>
  /** Resolves when an event of a type has come that `fits`. */
  seen(type: string, fits?: (event: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>
}

/** Starts `fedlora … --json`; it is killed when the test ends. */
export function begin(t: Test, words: readonly string[], cwd: string): Process {
  const child = spawn(process.execPath, [program, ...words, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  t.teardown(() => void child.kill('SIGKILL'))
  const wanted: { type: string; fits: (event: Record<string, unknown>) => boolean; found: (event: never) => void }[] =
    []
  let text = ''
  const look = () => {
    const events = objects(text)
    for (const { type, fits, found } of wanted) {
      const event = events.find((one) => one.type === type && fits(one))
      if (event !== undefined) found(event as never)
    }
  }
  const ended = follow(child, {
    onOutput(all) {
      text = all
      look()
    },
  })
  const seen: Process['seen'] = (type, fits = () => true) =>
    new Promise((resolve, reject) => {
      wanted.push({ type, fits, found: resolve })
      look()
      void ended.then(({ stdout, stderr }) => reject(new Error(`ended without ${type}:\n${stdout}\n${stderr}`)))
    })
  return { child, ended, seen }
}

export class Place {
  readonly folder: string
  readonly config: string

  /** @param changes - sections of the config file beside the usual ones. */
  constructor(folder: string, port: number, names: readonly string[], changes: Record<string, unknown> = {}) {
    this.folder = folder
    this.config = join(folder, 'federation.json')
    const config = {
      name: 'test',
      folder: join(folder, 'server'),
      listen: { host: '127.0.0.1', port, admin: { port: 0 } },
      clients: { minimum: names.length, minimumAnswers: names.length, deadline: null },
      model: { path: model },
      adapter,
      data: { format: 'tokens' },
      federation,
      ...changes,
    }
    writeFileSync(this.config, JSON.stringify(config))
    for (const name of names) {
      const rows = rowsOf(name).map((row) => `${JSON.stringify(row)}\n`)
      writeFileSync(join(folder, `${name}.jsonl`), rows.join(''))
    }
  }

  serve(t: Test): Process {
    return begin(t, ['serve', '--config', this.config], this.folder)
  }

  operate(...words: string[]): Promise<Ended> {
    return fedlora(['federation', ...words, '--config', this.config, '--json'], { cwd: this.folder })
  }

  async invite(name: string): Promise<string> {
    const { stdout, stderr } = await this.operate('invite', '--name', name)
    const token = objects(stdout).at(-1)?.token
    if (typeof token !== 'string') throw new Error(`no token: ${stdout}${stderr}`)
    return token
  }

  /** @param token - the token, or the file that holds it. */
  join(t: Test, token: string, name: string, ...more: string[]): Process {
    const words = token.startsWith('fedlora_') ? [token] : ['--token-file', token]
    const base = more.includes('--model') ? [] : ['--model', model]
    const places = ['--data', `${name}.jsonl`, ...base, '--folder', `client-${name}`, '--threads', '1']
    return begin(t, ['join', ...words, ...places, ...more], this.folder)
  }

  adapter(): Buffer {
    return readFileSync(join(this.folder, 'server', 'adapter', 'adapter_model.safetensors'))
  }
}
