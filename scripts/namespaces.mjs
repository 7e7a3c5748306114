#!/usr/bin/env node
// A federation whose server and clients live in network namespaces of their own, joined by a line that is slow, loses packets and is cut now and then: its
// adapter has the bits of the same federation on loopback. Needs Linux, root, and the programs ip and tc; where the kernel has no netem the line is slow
// (tbf) and cut, and the report says so.
//
// Usage: node scripts/namespaces.mjs [--delay MS] [--loss PERCENT] [--rounds N]
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root, runMain, ScriptError } from './lib/project.mjs'

const spaces = { server: 'fedlora-server', clients: 'fedlora-clients' }
const addresses = { server: '10.213.77.1', clients: '10.213.77.2' }
const names = ['a', 'b', 'c']
const program = join(root, 'dist/cli/main.js')
/** Milliseconds of a cut, and between two. */
const cuts = { down: 1500, up: 4000 }

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
const attempt = (words) => spawnSync(words[0], words.slice(1), { encoding: 'utf8' })

function must(...words) {
  const { status, stderr, error } = attempt(words)
  if (status !== 0) throw new ScriptError('E_UNSUPPORTED', `${words.join(' ')}: ${error?.message ?? stderr.trim()}`)
}

/** The two namespaces and the line between them. @returns what makes the line bad. */
function layLine(delay, loss) {
  const ends = { server: 'fl-server', clients: 'fl-clients' }
  for (const space of Object.values(spaces)) must('ip', 'netns', 'add', space)
  must('ip', 'link', 'add', ends.server, 'type', 'veth', 'peer', 'name', ends.clients)
  const made = []
  for (const [side, end] of Object.entries(ends)) {
    must('ip', 'link', 'set', end, 'netns', spaces[side])
    const inside = ['ip', '-n', spaces[side]]
    must(...inside, 'address', 'add', `${addresses[side]}/24`, 'dev', end)
    for (const device of [end, 'lo']) must(...inside, 'link', 'set', device, 'up')
    const queue = ['tc', '-n', spaces[side], 'qdisc', 'add', 'dev', end, 'root']
    const netem = ['netem', 'delay', `${delay}ms`, `${delay / 4}ms`, 'loss', `${loss}%`]
    const slow = ['tbf', 'rate', '4mbit', 'burst', '16kb', 'latency', '50ms']
    const used = [netem, slow].find((kind) => attempt([...queue, ...kind]).status === 0)
    made.push(used === undefined ? 'nothing' : used.join(' '))
  }
  return made[0]
}

const takeUp = () => {
  for (const space of Object.values(spaces)) attempt(['ip', 'netns', 'delete', space])
}

/** `fedlora …`, in a namespace where there is one. */
function start(space, words, cwd) {
  const inside = space === undefined ? [] : ['ip', 'netns', 'exec', space]
  const all = [...inside, process.execPath, program, ...words, '--json']
  const child = spawn(all[0], all.slice(1), { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  child.stdout.on('data', (chunk) => (text += chunk))
  child.stderr.on('data', (chunk) => (text += chunk))
  const ended = new Promise((resolve) => child.once('exit', (code) => resolve({ code, text })))
  const seen = async (type) => {
    for (;;) {
      const line = text.split('\n').find((one) => one.includes(`"type":"${type}"`))
      if (line !== undefined) return JSON.parse(line)
      if (child.exitCode !== null) throw new ScriptError('E_LOST', `ended without ${type}: ${text}`)
      await sleep(50)
    }
  }
  return { child, ended, seen }
}

const rowsOf = (name) =>
  Array.from({ length: 6 }, (_, row) => ({
    input_ids: Array.from({ length: 8 + row }, (_, i) => 3 + ((name.charCodeAt(0) * 13 + row * 31 + i * 7) % 250)),
  }))

/** Plays the federation in a folder; its adapter. @param {boolean} apart in the namespaces */
async function play(folder, apart, rounds) {
  mkdirSync(folder)
  const model = join(root, 'test/golden/models/llama')
  const config = {
    name: 'apart',
    folder: join(folder, 'server'),
    listen: { host: apart ? addresses.server : '127.0.0.1', port: 0, admin: { port: 0 } },
    clients: { minimum: names.length, minimumAnswers: names.length, deadline: null },
    model: { path: model },
    adapter: { rank: 4, seed: 3 },
    data: { format: 'tokens' },
    federation: { rounds, local: { steps: 2, batchSize: 2 }, upload: { codec: 'int4' }, seed: 5 },
  }
  writeFileSync(join(folder, 'federation.json'), JSON.stringify(config))
  const at = ['--config', join(folder, 'federation.json')]
  const server = start(apart ? spaces.server : undefined, ['serve', ...at], folder)
  await server.seen('listening')
  const clients = []
  for (const name of names) {
    writeFileSync(
      join(folder, `${name}.jsonl`),
      rowsOf(name)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    )
    const invite = start(apart ? spaces.server : undefined, ['federation', 'invite', '--name', name, ...at], folder)
    const { token } = JSON.parse((await invite.ended).text.trim().split('\n').at(-1))
    const own = ['--data', `${name}.jsonl`, '--model', model, '--folder', `client-${name}`, '--threads', '1']
    clients.push(start(apart ? spaces.clients : undefined, ['join', token, ...own], folder))
  }
  for (const { code, text } of await Promise.all([server, ...clients].map(({ ended }) => ended)))
    if (code !== 0) throw new ScriptError('E_LOST', `a process ended with ${code}: ${text.slice(-2000)}`)
  return readFileSync(join(folder, 'server/adapter/adapter_model.safetensors'))
}

async function main() {
  const { values } = parseArgs({
    options: {
      delay: { type: 'string', default: '40' },
      loss: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '3' },
    },
  })
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-apart-'))
  let timesCut = 0
  let over = false
  try {
    const expected = await play(join(folder, 'loopback'), false, Number(values.rounds))
    takeUp()
    const line = layLine(Number(values.delay), Number(values.loss))
    const cutting = (async () => {
      for (; !over; timesCut++) {
        await sleep(cuts.up)
        must('ip', '-n', spaces.clients, 'link', 'set', 'fl-clients', 'down')
        await sleep(cuts.down)
        must('ip', '-n', spaces.clients, 'link', 'set', 'fl-clients', 'up')
      }
    })()
    const began = Date.now()
    const got = await play(join(folder, 'apart'), true, Number(values.rounds)).finally(() => (over = true))
    const seconds = (Date.now() - began) / 1000
    await cutting
    const equal = got.equals(expected)
    console.log(
      JSON.stringify({ line, timesCut, seconds, clients: names.length, rounds: Number(values.rounds), equal }),
    )
    if (!equal) throw new ScriptError('E_LOST', 'the adapter has other bits')
  } finally {
    takeUp()
    rmSync(folder, { recursive: true, force: true })
  }
}

await runMain(import.meta, 'namespaces', main)
