#!/usr/bin/env node
// Opens the page of a server (assets/page) in a headless Chromium, over a federation that is made up, and compares what stands there in the
// end with what must: names and errors as text, the curve, the entrance for observers. Needs `chromium` on the path (or CHROMIUM).
//
// Usage: node scripts/check-page.mjs [--screenshot FILE]    (after tsc)
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pageFile, standingStream, streamHeaders } from '../dist/federated/https/page.js'
import { runMain, ScriptError } from './lib/project.mjs'

const now = Date.now()
const client = { state: 'idle', seen: now - 4000, counted: 2, bytesUp: 5.3e6 }
const round = { asked: 3, counted: 3, refused: 0, bytesUp: 3.1e6, bytesDown: 1.2e7, seconds: 61 }

/** @type {import('../src/federated/link/standing.js').Standing} */
const standing = {
  name: 'cardiology <b>2026</b>',
  run: 'ab'.repeat(16),
  state: 'running',
  waitsFor: 'round 3: 1 of 3 has answered',
  round: 2,
  rounds: 8,
  deadline: now + 95_000,
  clients: [
    { ...client, name: 'hospital-a', state: 'answered' },
    { ...client, name: 'hospital-b', state: 'failed', why: '<script>document.title = "run"</script>' },
    { ...client, name: 'hospital-c', state: 'working', step: 7, steps: 12 },
    { ...client, name: 'hospital-d', state: 'invited', seen: null },
  ],
  history: [
    { ...round, round: 1, loss: 2.61, heldOutLoss: 2.7 },
    { ...round, round: 2, loss: 2.31, counted: 1, refused: 1, abandoned: 'fewer than 2 answers' },
  ],
  problems: [{ at: now - 64_000, code: 'E_BASE', words: 'the base model is another one', client: 'hospital-b' }],
  bytesUp: 6.2e6,
  bytesDown: 2.4e7,
  privacy: { epsilon: 2, delta: 1e-5, budget: 4 },
}

/** @type {import('node:http').RequestListener} */
async function answer(request, response) {
  const path = String(request.url).split('?')[0] ?? ''
  if (path === '/v1/standing') {
    if (request.headers.authorization !== 'Bearer right') return void response.writeHead(401).end()
    const end = new AbortController()
    response.on('close', () => end.abort())
    response.writeHead(200, streamHeaders)
    for await (const piece of standingStream(() => standing, end.signal)) response.write(piece)
    return
  }
  const file = pageFile(path)
  if (file === undefined) return void response.writeHead(404).end()
  response.writeHead(200, file.headers).end(file.body)
}

/** @type {[string, string, boolean][]} */
const expected = [
  ['right', '<h1 id="name">cardiology &lt;b&gt;2026&lt;/b&gt;</h1>', true],
  ['right', 'Running: round 3: 1 of 3 has answered', true],
  ['right', 'works, step 7 of 12', true],
  ['right', 'failed: &lt;script&gt;', true],
  ['right', 'Training loss from 2.6100 to 2.3100. Held-out loss from 2.7000', true],
  ['right', 'hospital-b: the base model is another one (<code>E_BASE</code>, 1 min', true],
  ['right', 'abandoned: fewer than 2 answers', true],
  ['right', 'aria-valuetext="2 of 8 rounds"', true],
  ['right', 'No connection', false],
  ['wrong', 'This page is for observers.', true],
  ['wrong', '<form id="entrance">', true],
  ['wrong', 'hospital-a', false],
]

await runMain(import.meta, 'check-page', async () => {
  const { screenshot } = parseArgs({ options: { screenshot: { type: 'string' } } }).values
  const server = createServer(answer)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)))
  const address = /** @type {import('node:net').AddressInfo} */ (server.address())
  const profile = mkdtempSync(join(tmpdir(), 'fedlora-page-'))
  const look = (/** @type {string} */ token, /** @type {string[]} */ ...words) =>
    new Promise((resolve, reject) => {
      const flags = [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        `--user-data-dir=${profile}`,
        '--virtual-time-budget=3000',
      ]
      const all = [...flags, '--window-size=1000,1400', ...words, `http://127.0.0.1:${address.port}/#token=${token}`]
      execFile(process.env.CHROMIUM ?? 'chromium', all, { timeout: 60_000, maxBuffer: 1 << 26 }, (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      )
    })
  try {
    const pages = { right: String(await look('right', '--dump-dom')), wrong: String(await look('wrong', '--dump-dom')) }
    const problems = expected.flatMap(([token, text, wanted]) => {
      const page = pages[/** @type {'right' | 'wrong'} */ (token)]
      return page.includes(text) === wanted
        ? []
        : [`with the ${token} token: "${text}" is ${wanted ? 'missing' : 'there'}`]
    })
    if (problems.length > 0) throw new ScriptError('E_PAGE', `the page is not right:\n  ${problems.join('\n  ')}`)
    if (screenshot !== undefined) await look('right', `--screenshot=${screenshot}`)
    console.log(`page: ${expected.length} things are as they must be`)
  } finally {
    server.closeAllConnections()
    server.close()
    rmSync(profile, { recursive: true, force: true })
  }
})
