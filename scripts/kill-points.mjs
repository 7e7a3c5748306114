#!/usr/bin/env node
// Kills a real federation over HTTPS (one server, four clients, three rounds) at every write, flush, rename, remove and send, one world for each
// point of the server's process and one for each of the clients', and checks what is left (test/federated/kill). Each world is killed a second time
// while it recovers, every fourth a third time. Prints the report as JSON; status 1 when anything is lost, double or stands still.
//
// Usage: node scripts/kill-points.mjs [--role server|worker|clients] [--kind rounds|masked|buffers|workers] [--every K] [--lanes N] [--patience S]
//   [--seconds S] [--base FOLDER] [--report FILE]
//   --kind     federations with rounds (default), with rounds of secure aggregation, or without rounds: answers go into buffers,
//              or with workers over a real NATS (nats-server, or what FEDLORA_NATS_SERVER names), of which one (role worker) is killed
//   --every    only each K-th point
//   --lanes    worlds at a time, for each role; default 1
//   --patience seconds after which a world is taken to stand still; default 120. A busy machine, or a low priority, needs more
//   --seconds  begin no world after so many seconds; points are visited in 16 sweeps, so that those that were killed lie everywhere
//   --base     where worlds lie while they are played; default: /dev/shm, or the system's temporary folder
//   --report   file of the report; where there is one already it is gone on with: points that it has killed are left out
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runMain, ScriptError } from './lib/project.mjs'

const sweeps = 16

/** Points of an undisturbed world in the order of the sweeps, but those that were `reached`, and for each of them those of later lives. */
function* killsOf(points, every, until, reached) {
  for (let sweep = 0; sweep < sweeps; sweep++) {
    for (let at = 1 + sweep * every; at <= points; at += sweeps * every) {
      if (Date.now() > until) return
      if (reached.has(at)) continue
      const recovering = [1 + ((31 * at) % 120), 1 + ((17 * at) % 60)]
      yield [at, ...recovering.slice(0, at % 4 === 0 ? 2 : 1)]
    }
  }
}

/** Numbers as ranges: `1-3 7`. */
function rangesOf(numbers) {
  const ranges = /** @type {[number, number][]} */ ([])
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last?.[1] === number - 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(' ')
}

function numbersOf(ranges) {
  const numbers = new Set()
  for (const range of ranges.split(' ').filter((text) => text !== '')) {
    const [first, last = first] = range.split('-').map(Number)
    for (let number = first; number <= last; number++) numbers.add(number)
  }
  return numbers
}

/** What a series came to, together with what an earlier one had. */
function summary(points, { kinds, wrong, results, starts }, before) {
  const kills = results.flatMap(({ killed }) => killed)
  const byKind = { ...before.killsByKind }
  for (const kill of kills) byKind[kill.split(' ')[1]] = (byKind[kill.split(' ')[1]] ?? 0) + 1
  const failed = results.filter((result) => result.wrong.length > 0)
  if (wrong.length > 0) failed.unshift({ kills: [], killed: [], wrong })
  const reached = numbersOf(before.reached)
  for (const { kills, killed } of results) if (killed.length > 0) reached.add(kills[0])
  return {
    points,
    kinds,
    worlds: before.worlds + results.length,
    distinctPoints: reached.size,
    kills: before.kills + kills.length,
    killsByKind: byKind,
    starts: before.starts + starts,
    reached: rangesOf(reached),
    failed: [...before.failed, ...failed],
  }
}

const nothing = { worlds: 0, kills: 0, killsByKind: {}, starts: 0, reached: '', failed: [] }

async function main() {
  const { values } = parseArgs({
    options: {
      role: { type: 'string', multiple: true, default: ['server', 'clients'] },
      kind: { type: 'string', default: 'rounds' },
      every: { type: 'string', default: '1' },
      lanes: { type: 'string', default: '1' },
      patience: { type: 'string', default: '120' },
      seconds: { type: 'string', default: 'Infinity' },
      base: { type: 'string' },
      report: { type: 'string' },
    },
  })
  const { series } = await import('../test/federated/kill/series.mjs')
  const begun = Date.now()
  const until = begun + 1000 * Number(values.seconds)
  const wanted = /** @type {('server' | 'worker' | 'clients')[]} */ (values.role)
  const kind = /** @type {'rounds' | 'masked' | 'buffers' | 'workers'} */ (values.kind)
  const { report: file } = values
  const earlier =
    file !== undefined && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { seconds: 0, roles: [] }
  const roles = await Promise.all(
    wanted.map(async (role) => {
      const before = earlier.roles.find((one) => one.role === role) ?? nothing
      const { passed } = await series({ role, kind, kills: [], base: values.base })
      const onWorld = ({ killed, wrong }) =>
        console.error(`${role} ${killed.join(', ') || 'not reached'}${wrong.map((line) => `\n  ${line}`).join('')}`)
      const kills = killsOf(passed, Number(values.every), until, numbersOf(before.reached))
      const [lanes, patience] = [Number(values.lanes), 1000 * Number(values.patience)]
      const played = await series({ role, kind, kills, lanes, patience, base: values.base, onWorld })
      return { role, ...summary(passed, played, before) }
    }),
  )
  const report = {
    date: new Date().toISOString(),
    node: process.version,
    seconds: earlier.seconds + Math.round((Date.now() - begun) / 1000),
    roles,
  }
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  console.log(JSON.stringify(report))
  const failed = roles.reduce((sum, { failed }) => sum + failed.length, 0)
  if (failed > 0) throw new ScriptError('E_LOST', `${failed} worlds are wrong; the report says which and why`)
}

await runMain(import.meta, 'kill-points', main)
