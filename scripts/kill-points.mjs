#!/usr/bin/env node
// Kills a real federation over HTTPS (one server, four clients, three rounds) at every write, flush, rename, remove and send, one world for each
// point of the server's process and one for each of the clients', and checks what is left (test/federated/kill). Each world is killed a second time
// while it recovers, every fourth a third time. Prints the report as JSON; status 1 when anything is lost, double or stands still.
//
// Usage: node scripts/kill-points.mjs [--role server|clients] [--every K] [--seconds S] [--base FOLDER] [--report FILE]
//   --every    only each K-th point
//   --seconds  begin no world after so many seconds; points are visited in 16 sweeps, so that those that were killed lie everywhere
//   --base     where worlds lie while they are played; default: /dev/shm, or the system's temporary folder
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runMain, ScriptError } from './lib/project.mjs'

const sweeps = 16

/** Points of an undisturbed world in the order of the sweeps, and for each of them those of later lives. */
function* killsOf(points, every, until) {
  for (let sweep = 0; sweep < sweeps; sweep++) {
    for (let at = 1 + sweep * every; at <= points; at += sweeps * every) {
      if (Date.now() > until) return
      const recovering = [1 + ((31 * at) % 120), 1 + ((17 * at) % 60)]
      yield [at, ...recovering.slice(0, at % 4 === 0 ? 2 : 1)]
    }
  }
}

/** What a series came to. */
function summary(points, { kinds, wrong, results, starts }) {
  const kills = results.flatMap(({ killed }) => killed)
  const byKind = /** @type {Record<string, number>} */ ({})
  for (const kill of kills) byKind[kill.split(' ')[1]] = (byKind[kill.split(' ')[1]] ?? 0) + 1
  const failed = results.filter((result) => result.wrong.length > 0)
  if (wrong.length > 0) failed.unshift({ kills: [], killed: [], wrong })
  const reached = new Set(results.filter(({ killed }) => killed.length > 0).map((result) => result.kills[0]))
  return {
    points,
    kinds,
    worlds: results.length,
    distinctPoints: reached.size,
    kills: kills.length,
    killsByKind: byKind,
    starts,
    failed,
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      role: { type: 'string', multiple: true, default: ['server', 'clients'] },
      every: { type: 'string', default: '1' },
      seconds: { type: 'string', default: 'Infinity' },
      base: { type: 'string' },
      report: { type: 'string' },
    },
  })
  const { series } = await import('../test/federated/kill/series.mjs')
  const begun = Date.now()
  const until = begun + 1000 * Number(values.seconds)
  const wanted = /** @type {('server' | 'clients')[]} */ (values.role)
  const roles = await Promise.all(
    wanted.map(async (role) => {
      const { passed } = await series({ role, kills: [], base: values.base })
      const onWorld = ({ killed, wrong }) =>
        console.error(`${role} ${killed.join(', ') || 'not reached'}${wrong.map((line) => `\n  ${line}`).join('')}`)
      const kills = killsOf(passed, Number(values.every), until)
      return { role, ...summary(passed, await series({ role, kills, base: values.base, onWorld })) }
    }),
  )
  const report = {
    date: new Date().toISOString(),
    node: process.version,
    seconds: Math.round((Date.now() - begun) / 1000),
    roles,
  }
  if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(report, null, 2)}\n`)
  console.log(JSON.stringify(report))
  const failed = roles.reduce((sum, { failed }) => sum + failed.length, 0)
  if (failed > 0) throw new ScriptError('E_LOST', `${failed} worlds are wrong; the report says which and why`)
}

await runMain(import.meta, 'kill-points', main)
