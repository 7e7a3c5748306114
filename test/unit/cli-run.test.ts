/** The command line as a process: exit codes, streams, signals. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { goldenFolder } from '../support/golden-model.js'

const program = resolve('dist/cli/main.js')
const model = goldenFolder('llama')

interface Ended {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
}

/** Runs `fedlora`; `onLine` sees every line of stdout and may send signals. */
async function fedlora(
  words: string[],
  options: { onLine?: (line: string, kill: (name: NodeJS.Signals) => void) => void; environment?: object } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', npm_command: '', ...options.environment },
  })
  let stdout = ''
  let stderr = ''
  let seen = 0
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
    const lines = stdout.split('\n')
    for (; seen < lines.length - 1; seen++) options.onLine?.(lines[seen]!, (name) => child.kill(name))
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  return await new Promise((done) => child.on('close', (code, signal) => done({ code, signal, stdout, stderr })))
}

const objects = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>)

const root = t.testdir()
const rows = join(root, 'rows.jsonl')
writeFileSync(
  rows,
  Array.from({ length: 24 }, (_, row) => {
    const input_ids = Array.from({ length: 8 + (row % 5) }, (_, i) => 3 + ((row * 31 + i * 7) % 250))
    return `${JSON.stringify({ input_ids, category: row % 2 ? 'odd' : 'even' })}\n`
  }).join(''),
)

function config(name: string, value: object): string {
  const path = join(root, `${name}.json`)
  writeFileSync(path, JSON.stringify(value))
  return path
}

const base = {
  model: { path: model, quantization: 'nf4', threads: 1 },
  adapter: { rank: 4, seed: 2 },
  data: { path: rows, format: 'tokens', maxLength: 64 },
}

t.test('help, version and mistakes', async (t) => {
  t.match(await fedlora(['--help']), { code: 0, stdout: /simulate +run a federation/, stderr: '' })
  t.match(await fedlora([]), { code: 2, stdout: '', stderr: /Usage: fedlora COMMAND/ })
  t.match(await fedlora(['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ })
  t.match(await fedlora(['train', '--help']), { code: 0, stdout: /learningRate +number > 0 · default 0\.0002/ })
  t.match(await fedlora(['trian']), { code: 2, stdout: '', stderr: /^E_ARGUMENT: .*did you mean "train"/ })
  t.match(await fedlora(['train', '--modle', 'x']), { code: 2, stderr: /did you mean "--model"/ })
  t.match(await fedlora(['train']), { code: 2, stderr: /^E_ARGUMENT: no model/ })
  const typo = config('typo', { ...base, train: { lerningRate: 1 } })
  t.match(await fedlora(['train', '--config', typo]), { code: 2, stderr: /E_CONFIG.*did you mean "learningRate"/ })
  const missing = await fedlora([
    'train',
    '--model',
    join(root, 'none'),
    '--data',
    rows,
    '--format',
    'tokens',
    '--json',
  ])
  t.match(missing, { code: 1, stderr: /^E_MISSING: / })
  t.match(objects(missing.stdout).at(-1), { type: 'error', code: 'E_MISSING' })
  const isa = await fedlora(['doctor'], { environment: { FEDLORA_ISA: 'avx9' } })
  t.match(isa, { code: 1, stderr: /^E_ISA: / }, 'an instruction set that is not there')
})

t.test('doctor', async (t) => {
  const ended = await fedlora(['doctor', '--json'], { environment: { FEDLORA_ISA: 'scalar' } })
  t.equal(ended.code, 0)
  const result = objects(ended.stdout).at(-1)!
  t.match(result, {
    type: 'result',
    isa: 'scalar',
    isaCap: 'scalar',
    addon: /\.node$/,
    addonFrom: 'build',
    addonWhy: /before what is in prebuilds/,
  })
  t.ok((result.kernels as { isa: string }[]).every(({ isa }) => isa === 'scalar'))
  if (result.detectedIsa !== 'scalar') t.match(result.faster, [{ why: /FEDLORA_ISA caps/ }])
  t.notMatch(ended.stderr, /Kernels in use:/)
  t.match(await fedlora(['doctor', '--kernels']), { code: 0, stdout: /Kernels in use:\n( {2}\w+ .*\n){20}/ })
})

t.test('train, eval, generate, merge, quantize', async (t) => {
  const run = join(root, 'run')
  const file = config('train', {
    ...base,
    train: { maxSteps: 6, batchSize: 4, learningRate: 0.01 },
    evaluate: { path: rows, limit: 4 },
    split: {},
  })
  const trained = await fedlora(['train', '--config', file, '--output', run, '--json'])
  t.equal(trained.code, 0, trained.stderr)
  const events = objects(trained.stdout)
  t.equal(events.filter((event) => event.type === 'step').length, 6)
  t.match(events.at(-1), { type: 'result', steps: 6, outputDir: run })
  t.notMatch(trained.stderr, '\r', 'no progress line where there is no terminal')
  const adapter = join(run, 'adapter')
  const words = ['--model', model, '--data', rows, '--format', 'tokens']
  const before = objects((await fedlora(['eval', ...words, '--json'])).stdout).at(-1)!
  const after = objects((await fedlora(['eval', ...words, '--adapter', adapter, '--json'])).stdout).at(-1)!
  t.ok((after.loss as number) < (before.loss as number), `${before.loss} → ${after.loss}`)
  t.match(await fedlora(['eval', ...words, '--adapter', adapter]), {
    code: 0,
    stdout: /perplexity +\d/,
    stderr: /^columns that the format tokens does not read: category/,
  })
  const merged = join(root, 'merged')
  t.match(await fedlora(['merge', '--model', model, '--adapter', adapter, '--output', merged]), { code: 0 })
  const [alone] = objects((await fedlora(['eval', '--model', merged, ...words.slice(2), '--json'])).stdout)
  t.ok(Math.abs((alone!.loss as number) - (after.loss as number)) < 1e-4, 'merged weights give the adapter’s loss')
  const again = await fedlora(['merge', '--model', model, '--adapter', adapter, '--output', merged])
  t.match(
    again,
    { code: 2, stderr: /^E_ARGUMENT.*--overwrite/ },
    'an existing output is refused before anything is loaded',
  )
  const quantized = join(root, 'quantized')
  const flags = ['--quantization', 'nf4', '--double-quantization', '--block-size', '128']
  t.match(await fedlora(['quantize', '--model', model, '--output', quantized, ...flags]), { code: 0 })
  const stored = JSON.parse(readFileSync(join(quantized, 'config.json'), 'utf8'))
  t.match(stored.quantization_config, { quant_method: 'bitsandbytes', bnb_4bit_use_double_quant: true })
  t.match(await fedlora(['quantize', '--model', model, '--output', model]), { code: 2, stderr: /^E_ARGUMENT/ })
  t.match(await fedlora(['quantize', '--model', model, '--output', quantized, '--block-size', '32']), { code: 2 })
})

t.test('generate', async (t) => {
  const words = ['generate', '--model', resolve('assets/gsm-3m'), '--prompt', 'Question: Tom has', '--max-tokens', '5']
  const plain = await fedlora(words)
  t.equal(plain.code, 0, plain.stderr)
  const json = await fedlora([...words, '--json'])
  const pieces = objects(json.stdout)
  const { text } = pieces.at(-1)! as { text: string }
  t.equal(plain.stdout, `${text}\n`)
  t.equal(
    pieces
      .filter((piece) => piece.type === 'piece')
      .map((piece) => piece.text)
      .join(''),
    text,
  )
})

const federation = {
  rounds: 3,
  local: { steps: 2, batchSize: 2, learningRate: 0.01 },
  upload: { codec: 'int4' },
  baselines: ['global'],
}

t.test('simulate', async (t) => {
  const file = config('simulate', { ...base, split: { by: 'category', label: 'category' }, federation })
  const run = join(root, 'federation')
  const ended = await fedlora(['simulate', '--config', file, '--output', run, '--json'])
  t.equal(ended.code, 0, ended.stderr)
  const events = objects(ended.stdout)
  t.equal(events.filter((event) => event.type === 'round').length, 3)
  t.match(events.at(-1), { type: 'result', rounds: 3, folder: run, evaluation: { loss: Number } })
  t.ok(existsSync(join(run, 'adapter', 'adapter_config.json')))
  t.match(await fedlora(['simulate', '--config', file, '--output', run]), {
    code: 2,
    stderr: /E_ARGUMENT.*already holds a run; go on with it by fedlora simulate --resume/,
  })
  t.match(await fedlora(['simulate', '--model', model]), { code: 2, stderr: /needs the sections split and federation/ })
})

for (const [name, signal, code] of [
  ['train', 'SIGINT', 130],
  ['train', 'SIGTERM', 143],
  ['simulate', 'SIGINT', 130],
  ['simulate', 'SIGTERM', 143],
] as const) {
  t.test(`${name}: ${signal} leaves a checkpoint from which it goes on`, async (t) => {
    const work =
      name === 'train'
        ? { train: { maxSteps: 400, batchSize: 2, learningRate: 1e-4 } }
        : {
            split: { by: 'category', label: 'category' },
            federation: { ...federation, rounds: 200, checkpointEvery: 500, baselines: [] },
          }
    const file = config(`${name}-${signal}`, { ...base, ...work })
    const run = join(root, `${name}-${signal}-run`)
    const kind = name === 'train' ? 'step' : 'round'
    let sent = false
    const stopped = await fedlora([name, '--config', file, '--output', run, '--json'], {
      onLine(line, kill) {
        if (sent || !line.includes(`"type":"${kind}"`)) return
        sent = true
        kill(signal)
      },
    })
    t.equal(stopped.code, code, stopped.stderr)
    t.notMatch(stopped.stdout, '"type":"result"')
    const checkpoints = readdirSync(join(run, 'checkpoints'))
    t.ok(checkpoints.length > 0)
    let first: number | undefined
    const resumed = await fedlora([name, '--config', file, '--resume', run, '--json'], {
      onLine(line) {
        if (first === undefined && line.includes(`"type":"${kind}"`)) first = JSON.parse(line)[kind]
      },
    })
    t.equal(resumed.code, 0, resumed.stderr)
    t.ok(first! > 1, `went on at ${kind} ${first}`)
    t.match(objects(resumed.stdout).at(-1), { type: 'result' })
  })
}

t.test('a second signal ends at once', async (t) => {
  const file = config('hard', { ...base, train: { maxSteps: 100000, batchSize: 24, gradientAccumulation: 500 } })
  mkdirSync(join(root, 'hard'))
  let count = 0
  const child = spawn(process.execPath, [program, 'train', '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  child.stdout.once('data', () => child.kill('SIGINT'))
  child.stderr.on('data', (chunk: Buffer) => {
    if (chunk.toString().includes('once more ends at once') && count++ === 0) child.kill('SIGINT')
  })
  const [code, signal] = await new Promise<[number | null, string | null]>((done) =>
    child.on('exit', (code, signal) => done([code, signal])),
  )
  t.ok(signal === 'SIGINT' || code === 130, `${code} ${signal}`)
})

t.test('canary: a command that fails does not end in 0', async (t) => {
  const { code } = await fedlora(['eval', '--model', model, '--data', join(root, 'none.jsonl'), '--format', 'tokens'])
  t.notOk(code === 0)
})
