/** Every example runs as it is, over the built package, on the small model. */
import { cpSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectEnvironment, root, smallModel, start } from '../support/shipped.js'

const steps = { MODEL: smallModel, STEPS: '3' }

function run(cwd: string, file: string, more: Record<string, string> = {}, args: readonly string[] = []) {
  const env = projectEnvironment(cwd, { ...steps, ...more })
  return start(process.execPath, [...args, join(root, 'examples', file)], { cwd, env })
}

t.test('every folder of examples is tried here', async (t) => {
  const folders = readdirSync(join(root, 'examples'), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const tried = ['algorithms', 'commonjs', 'electron', 'express-sse', 'federation', 'own-algorithm', 'worker']
  t.same(folders.map(({ name }) => name).sort(), tried)
})

t.test('algorithms: a config file is what fedlora simulate takes', async (t) => {
  const cwd = t.testdir({})
  cpSync(smallModel, join(cwd, 'model'), { recursive: true })
  const rows = Array.from({ length: 15 }, (_, i) => ({
    question: `What is ${i} + 1?`,
    answer: `${i + 1}\n#### ${i + 1}`,
  }))
  writeFileSync(join(cwd, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const config = join(root, 'examples', 'algorithms', 'ditto.yaml')
  const cli = join(root, 'dist', 'cli', 'main.js')
  const env = projectEnvironment(cwd, {})
  const { code, stdout } = await start(process.execPath, [cli, 'simulate', '--config', config], { cwd, env }).ended
  t.equal(code, 0)
  t.match(stdout, /round 2: loss \d/)
})

t.test('federation', async (t) => {
  const cwd = t.testdir({})
  t.match(await run(cwd, 'federation/federation.mjs').ended, {
    code: 0,
    stdout: /^round 1: loss \d\.\d{4}, \d+ bytes up\nround 2: .*\nround 3: .*\n$/,
  })
  t.ok(existsSync(join(cwd, 'federated-adapter', 'adapter_model.safetensors')))
})

t.test('own-algorithm: an algorithm as a record', async (t) => {
  const { code, stdout } = await run(t.testdir({}), 'own-algorithm/own-algorithm.mjs').ended
  t.equal(code, 0)
  const lines = stdout.trim().split('\n')
  t.equal(lines.length, 6)
  for (const line of lines.slice(0, 3)) t.match(line, /^fedavg, round \d: loss \d\.\d{4}, rate 1\.00$/)
  for (const line of lines.slice(3)) t.match(line, /^fedexp, round \d: loss \d\.\d{4}, rate \d+\.\d\d$/)
})

t.test('commonjs', async (t) => {
  const cwd = t.testdir({})
  t.match(await run(cwd, 'commonjs/train.cjs').ended, { code: 0, stdout: /^3 steps, loss \d\.\d{4}\n$/ })
  const lost = await run(cwd, 'commonjs/train.cjs', { MODEL: join(cwd, 'nowhere') }).ended
  t.match(lost, { code: 1, stderr: /^E_MISSING: .*nowhere/ }, 'canary: a model that is not there is a coded failure')
})

t.test('worker', async (t) => {
  const cwd = t.testdir({})
  t.match(await run(cwd, 'worker/main.mjs').ended, {
    code: 0,
    stdout: /^step 1: loss [\s\S]*step 3: [\s\S]*done: 3 steps\n$/,
  })
  const lost = await run(cwd, 'worker/main.mjs', { MODEL: join(cwd, 'nowhere') }).ended
  t.match(lost, { code: 1, stderr: /^E_MISSING: .*nowhere/ }, 'the code survives the way out of the worker')
})

t.test('electron: the utility process, its port played', async (t) => {
  const cwd = t.testdir({})
  const port = `
    process.parentPort = {
      once: (_name, listener) => listener({ data: { model: process.env.MODEL, steps: 3 } }),
      postMessage: (message) => console.log(JSON.stringify(message)),
    }`
  writeFileSync(join(cwd, 'port.mjs'), port)
  const { code, stdout } = await run(cwd, 'electron/trainer.mjs', {}, ['--import', join(cwd, 'port.mjs')]).ended
  t.equal(code, 0)
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; steps?: number })
  t.equal(events.filter(({ type }) => type === 'step').length, 3)
  t.match(events.at(-1), { type: 'result', steps: 3 })
})

t.test('express-sse: viewers come late and leave, the run goes on', async (t) => {
  const cwd = t.testdir({})
  const { child, ended } = run(cwd, 'express-sse/server.mjs', { PORT: '0' })
  t.teardown(() => child.kill('SIGKILL'))
  const port = await new Promise<string>((resolve, reject) => {
    let said = ''
    child.stdout!.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const listening = /listening on (\d+)/.exec(said)
      if (listening) resolve(listening[1]!)
    })
    ended.then(({ stderr }) => reject(new Error(stderr)), reject)
  })
  const at = (path: string) => `http://127.0.0.1:${port}${path}`
  const post = (path: string, body: unknown) =>
    fetch(at(path), { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

  t.equal((await fetch(at('/events'))).status, 404, 'nothing runs yet')
  t.match(
    await (await post('/train', [{ instruction: 7 }])).json(),
    { code: 'E_DATA' },
    'a bad row is told with its code',
  )
  t.equal((await post('/train', [{ instruction: 'Greet.', output: 'Hello!' }])).status, 202)

  const leaving = new AbortController()
  const first = await fetch(at('/events'), { signal: leaving.signal })
  await first.body!.getReader().read()
  leaving.abort()
  const text = await (await fetch(at('/events'))).text()
  const events = text
    .split('\n\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line.slice('data: '.length)) as { type: string })
  t.equal(
    events.filter(({ type }) => type === 'step').length,
    3,
    'the second viewer sees every step, from the first on',
  )

  const answer = await post('/generate', { instruction: 'Greet.' })
  t.equal(answer.status, 200)
  t.ok((await answer.text()).length > 0)
  child.kill('SIGTERM')
  t.equal((await ended).code, 0)
})
