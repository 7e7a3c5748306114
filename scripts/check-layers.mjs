#!/usr/bin/env node
// Fails when a file reaches into a room that layers.json does not allow, or includes what is kept for another room, and when
// files stand in a circle.
//
// layers.json, for each of the trees `native` and `src`:
//   rooms   room → the rooms it may reach into; the longest room that is a prefix of a path owns it, `index` owns index.ts at the top.
//           A room inside a room is a room like another: what may reach into it names it, or all of them as `room/*`
//   only    { includes, in, why }: an include or import that matches `includes` is allowed in files matching `in` alone
//   never   the same, the other way round: not in those files
//   apart   { from, never, why }: no file matching `from` comes to one matching `never`, not by way of others either
// `*` stands for any path. Type-only imports count, but not for `apart`: a type from above is knowledge of what is above, but
// nothing that runs. Dynamic imports count everywhere.
//
// Usage: node scripts/check-layers.mjs [--root DIRECTORY]
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { root, runMain, ScriptError } from './lib/project.mjs'
import { circles, readGraph, treeNames, wayTo } from './lib/source-graph.mjs'

/**
 * @typedef {object} Layers
 * @property {Record<string, string[]>} rooms
 * @property {{ includes: string, in: string[], why: string }[]} only
 * @property {{ includes: string, in: string[], why: string }[]} never
 * @property {{ from: string[], never: string[], why: string }[]} [apart]
 */

const toPattern = (/** @type {string} */ glob) =>
  new RegExp(`^${glob.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`)
const anyOf = (/** @type {string[]} */ globs) => {
  const patterns = globs.map(toPattern)
  return (/** @type {string} */ path) => patterns.some((pattern) => pattern.test(path))
}

/**
 * Every violation in one tree, as a line of text each.
 * @param {string} base
 * @param {(typeof treeNames)[number]} tree
 * @param {Layers} layers
 */
function checkTree(base, tree, { rooms, only, never, apart = [] }) {
  /** @type {string[]} */
  const problems = []
  const names = Object.keys(rooms).sort((a, b) => b.length - a.length)
  const roomOf = (/** @type {string} */ path) =>
    names.find((name) => path.startsWith(`${name}/`) || (!name.includes('/') && path.replace(/\.[^./]+$/, '') === name))
  for (const [name, allowed] of Object.entries(rooms)) {
    for (const unknown of allowed.filter((other) => !(other.replace('/*', '') in rooms))) {
      problems.push(`layers.json: ${tree}/${name} names the unknown room ${unknown}`)
    }
  }
  const allows = Object.fromEntries(Object.entries(rooms).map(([name, allowed]) => [name, anyOf(allowed)]))
  const rules = [
    ...only.map((rule) => ({ ...rule, inside: false })),
    ...never.map((rule) => ({ ...rule, inside: true })),
  ].map((rule) => ({ ...rule, includes: new RegExp(rule.includes), applies: anyOf(rule.in) }))

  const graph = readGraph(base, tree)
  for (const [path, references] of graph) {
    const full = `${tree}/${path}`
    const from = roomOf(path)
    if (from === undefined) {
      problems.push(`${full}: belongs to no room of layers.json`)
      continue
    }
    for (const { target, path: reached } of references) {
      for (const { includes, applies, inside, why } of rules) {
        if (includes.test(target) && applies(full) === inside) {
          problems.push(`${full}: may not include ${target}: ${why}`)
        }
      }
      if (reached === undefined) continue
      const to = roomOf(reached)
      if (reached.startsWith('..')) {
        problems.push(`${full}: reaches out of ${tree}/ (${target})`)
      } else if (to === undefined) {
        problems.push(`${full}: reaches a file outside every room (${target})`)
      } else if (to !== from && !allows[from](to)) {
        problems.push(`${full}: ${from} may not reach into ${to} (${target})`)
      }
    }
  }
  for (const rule of apart) {
    const [starts, wanted] = [anyOf(rule.from), anyOf(rule.never)]
    for (const path of graph.keys()) {
      const way = starts(`${tree}/${path}`) ? wayTo(graph, path, (other) => wanted(`${tree}/${other}`)) : undefined
      if (way) problems.push(`${tree}/${path}: may not come to ${way.at(-1)}: ${rule.why} (${way.join(' → ')})`)
    }
  }
  for (const circle of circles(graph)) problems.push(`${tree}: a circle of files: ${circle.join(', ')}`)
  return problems
}

await runMain(import.meta, 'check-layers', () => {
  const { values } = parseArgs({ options: { root: { type: 'string', default: root } } })
  const base = resolve(values.root)
  const file = join(base, 'layers.json')
  if (!existsSync(file)) throw new ScriptError('E_LAYERS', `${file} is missing`)
  const layers = JSON.parse(readFileSync(file, 'utf8'))
  const problems = treeNames.filter((tree) => tree in layers).flatMap((tree) => checkTree(base, tree, layers[tree]))
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) throw new ScriptError('E_LAYERS', `${problems.length} violation(s) of layers.json`)
  console.log('layers: nothing reaches upwards, no files in a circle')
})
