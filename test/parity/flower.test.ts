/**
 * A federation of a real SuperLink: two nodes of this package and a SuperNode of Flower's, FedAvg over LoRA-shaped arrays and one of 6 MiB,
 * whose equal chunks travel once. The mean is exact. FEDLORA_FLOWER_PYTHON names a virtual environment with flwr (1.40 to 1.43) and numpy.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { keygenFlower } from '../../src/flower/key/keygen.js'
import type { NodeEvent } from '../../src/flower/node/events.js'
import type { Reply } from '../../src/flower/node/instruction.js'
import { runFlowerNode } from '../../src/flower/run-node.js'

t.setTimeout(600_000)

const place = process.env.FEDLORA_FLOWER_PYTHON ?? ''
const why = 'no Flower: set FEDLORA_FLOWER_PYTHON to a virtual environment with flwr and numpy'
const rounds = 2

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

async function until(what: string, seconds: number, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 1000 * seconds; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`)
    await sleep(500)
  }
}

t.test('two nodes and a SuperNode: the exact mean', place === '' ? { skip: why } : {}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-flower-'))
  const at = (name: string) => join(folder, name)
  const children: ChildProcess[] = []
  const bin = existsSync(join(place, 'bin')) ? join(place, 'bin') : dirname(place)
  const env = {
    ...process.env,
    HOME: folder,
    FLWR_HOME: at('.flwr'),
    FLWR_TELEMETRY_ENABLED: '0',
    PATH: `${resolve(bin)}:${process.env.PATH}`,
  }
  const logs = new Map<string, string>()
  const start = (program: string, ...words: string[]) => {
    const child = spawn(join(resolve(bin), program), words, {
      env,
      cwd: folder,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => logs.set(program, (logs.get(program) ?? '') + text))
    }
    children.push(child)
    return child
  }
  t.teardown(() => {
    for (const { pid } of children) {
      try {
        process.kill(-pid!, 'SIGKILL')
      } catch {} // it has ended
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  const address = `127.0.0.1:${await freePort()}`
  cpSync(resolve('test/parity/flower-app'), at('app'), { recursive: true })
  writeFileSync(at('app/LICENSE'), 'Apache-2.0\n')
  mkdirSync(at('.flwr'))
  writeFileSync(
    at('.flwr/config.toml'),
    `[superlink]\ndefault = "parity"\n\n[superlink.parity]\naddress = "${address}"\ninsecure = true\n`,
  )
  try {
    start(
      'flower-superlink',
      '--insecure',
      '--port',
      address.split(':')[1]!,
      '--disable-runtime-dependency-installation',
    )
    await until(
      'SuperLink',
      90,
      async () => (await fetch(`http://${address}/health`).catch(() => undefined)) !== undefined,
    )
    start('flower-supernode', '--insecure', '--superlink', address)
    const joined: string[] = []
    const events: NodeEvent[] = []
    const stop = new AbortController()
    t.teardown(() => stop.abort())
    const sites = [
      { name: 'a', add: 2, rows: 20n },
      { name: 'b', add: 3, rows: 10n },
    ]
    for (const { name, add, rows } of sites) {
      await keygenFlower(at(name))
      const run = runFlowerNode({
        url: `http://${address}`,
        key: at(name),
        folder: at(`${name}.node`),
        signal: stop.signal,
        work({ kind, arrays }): Reply {
          if (kind === 'evaluate') return { metrics: { eval_loss: add, 'num-examples': rows } }
          const moved = (data: unknown) => (data as Float32Array).map((x) => x + add)
          const next = [...arrays].map(([key, { shape, data }]) => [key, { shape, data: moved(data) }] as const)
          return { arrays: new Map(next), metrics: { train_loss: add, 'num-examples': rows } }
        },
      })
      run.catch(() => {})
      void (async () => {
        for await (const event of run.events()) {
          events.push(event)
          if (event.type === 'joined') joined.push(event.nodeId)
        }
      })()
    }
    await until('nodes', 60, () => joined.length === 2)
    const submit = start(
      'flwr',
      'run',
      'app',
      'parity',
      '--run-config',
      `result="${at('result.json')}" rounds=${rounds}`,
    )
    await until('submission', 120, () => submit.exitCode !== null)
    await until(
      'result',
      240,
      () => existsSync(at('result.json')) && readFileSync(at('result.json'), 'utf8').endsWith('}'),
    )
    const { names, values, dtypes, train, evaluate } = JSON.parse(readFileSync(at('result.json'), 'utf8'))
    // A round adds (10·1 + 20·2 + 10·3) / 40 = 2.
    const layer = 'base_model.model.model.layers.0.self_attn.q_proj'
    t.strictSame(names, [`${layer}.lora_B.weight`, `${layer}.lora_A.weight`, 'large'])
    for (const name of names) t.strictSame(values[name], [2 * rounds], name)
    t.strictSame(dtypes, ['float32'])
    t.strictSame(
      train,
      Object.fromEntries(['1', '2'].map((round) => [round, { train_loss: (10 * 0.25 + 20 * 2 + 10 * 3) / 40 }])),
    )
    t.strictSame(
      evaluate,
      Object.fromEntries(['1', '2'].map((round) => [round, { eval_loss: (10 * 0.5 + 20 * 2 + 10 * 3) / 40 }])),
    )
    t.equal(events.filter(({ type }) => type === 'delivered').length, 4 * rounds)
    t.equal(events.filter(({ type }) => type === 'refused' || type === 'dropped').length, 0)
  } catch (error) {
    for (const [program, log] of logs) t.comment(`${program}: ${log.slice(-3000)}`)
    throw error
  }
})
