/** `fedlora flower`: keys, and a node that joins, works, is stopped by SIGINT and goes on. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { FlowerArray } from '../../src/flower/objects/npy.js'
import { loadModel } from '../../src/model/load.js'
import { fedlora, objects, writeRows } from '../support/command.js'
import { FleetServer } from '../support/flower/fleet-server.js'
import { goldenFolder } from '../support/golden-model.js'

t.test('keygen writes two files once', async (t) => {
  const cwd = t.testdir()
  const made = await fedlora(['flower', 'keygen', 'site-a', '--json'], { cwd })
  t.equal(made.code, 0, made.stderr)
  const [result] = objects(made.stdout)
  t.match(result, { type: 'result', privateFile: /site-a$/, publicFile: /site-a\.pub$/ })
  t.match(
    readFileSync(join(cwd, 'site-a.pub'), 'utf8'),
    new RegExp(`^${String(result!.publicKey).replace(/[+]/g, '\\+')} `),
  )
  t.match(await fedlora(['flower', 'keygen', 'site-a'], { cwd }), { code: 1, stderr: /E_ARGUMENT: .*not overwritten/ })
  t.match(await fedlora(['flower', 'keygen'], { cwd }), { code: 2, stderr: /subject is missing/ })
  t.match(await fedlora(['flower', 'keygne', 'a'], { cwd }), { code: 2, stderr: /did you mean "keygen"/ })
  t.match(await fedlora(['flower', 'join', 'https://localhost:1'], { cwd }), { code: 2, stderr: /--key is required/ })
})

t.test('join answers a round, ends by SIGINT and leaves nothing of it', async (t) => {
  const cwd = t.testdir()
  await fedlora(['flower', 'keygen', 'site-a'], { cwd })
  using model = await loadModel(goldenFolder('qwen3'), { threads: 1 })
  using adapter = model.createAdapter({ rank: 2 })
  const arrays = new Map<string, FlowerArray>(adapter.tensors())
  let asked = false
  const server: FleetServer = await FleetServer.start({
    meddle(method) {
      const [id] = server.online
      if (method === 'pull-messages' && id !== undefined && !asked) {
        asked = true
        server.instruct(id, 'train', arrays, { 'server-round': 7n })
      }
      return undefined
    },
  })
  t.teardown(() => server.close())
  const words = [
    '--key',
    'site-a',
    '--model',
    goldenFolder('qwen3'),
    '--data',
    writeRows(cwd, 'rows.jsonl', 4),
    '--format',
    'tokens',
  ]
  const options = ['--adapter.rank', '2', '--train.maxSteps', '1', '--train.batchSize', '2', '--json']
  const ended = await fedlora(['flower', 'join', server.url, ...words, ...options], {
    cwd,
    onOutput: (text, child) => text.includes('"delivered"') && child.kill('SIGINT'),
  })
  t.equal(ended.code, 130, ended.stderr)
  const events = objects(ended.stdout)
  t.strictSame(
    events.filter(({ type }) => type !== 'progress').map(({ type }) => type),
    ['joined', 'instruction', 'reply', 'delivered'],
  )
  t.match(ended.stderr, /round 7 · train · train_loss [\d.]+ · num-examples 4/)
  t.strictSame(server.faults, [])
  t.equal(server.replies.length, 1)
  t.strictSame([...server.replies[0]!.content!.arrays.get('arrays')!.keys()], [...arrays.keys()])
  t.ok(existsSync(join(cwd, 'site-a.node', 'node.json')))
})

t.test('what cannot be joined is refused before the model is loaded, or by its code', async (t) => {
  const cwd = t.testdir({ 'a.yaml': 'train: { outputDir: x }\n' })
  await fedlora(['flower', 'keygen', 'site-a'], { cwd })
  const rows = writeRows(cwd, 'rows.jsonl', 4)
  const words = ['--key', 'site-a', '--model', goldenFolder('qwen3'), '--data', rows, '--format', 'tokens']
  const run = (...more: string[]) => fedlora(['flower', 'join', ...more], { cwd })
  t.match(await run('http://10.0.0.1:8000', ...words), { code: 1, stderr: /E_CONFIG: .*not encrypted/ })
  t.match(await run('https://localhost:1', ...words, '--config', 'a.yaml'), {
    code: 2,
    stderr: /unknown key "outputDir"/,
  })
})
