#!/usr/bin/env node
// Fails when a file reaches into a room that layers.json does not allow, or includes what is kept for another room.
//
// layers.json, for each of the trees `native` and `src`:
//   rooms   room → the rooms it may reach into; the longest room that is a prefix of a path owns it, `errors` owns errors.ts
//   only    { includes, in, why }: an include or import that matches `includes` is allowed in files matching `in` alone
//   never   the same, the other way round: not in those files
// `*` in `in` stands for any path. Type-only imports count: a type from above is knowledge of what is above.
//
// Usage: node scripts/check-layers.mjs [--root DIRECTORY]
import { existsSync, readFileSync } from 'node:fs'
import { join, posix, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { listFiles, root, runMain, ScriptError } from './lib/project.mjs'

const trees = {
  native: {
    files: /\.(h|hpp|cpp|inc|inl|def|cu|cuh)$/,
    references: (text) => [...text.matchAll(/^\s*#\s*include\s+["<]([^">]+)[">]/gm)].map((match) => match[1]),
    // "room/file.h" is relative to native/; a bare "file.h" lies beside the including file or is a system header.
    resolve: (path, target, exists) => {
      const beside = posix.join(posix.dirname(path), target)
      return exists(beside) ? beside : exists(target) ? target : undefined
    },
  },
  src: {
    files: /\.ts$/,
    references: (text) =>
      [
        ...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*|\bresolve\s*\(\s*)(['"`])([^'"`\n]+)\1/g),
      ].map((match) => match[2]),
    resolve: (path, target) => (target.startsWith('.') ? posix.join(posix.dirname(path), target) : undefined),
  },
}

const toPattern = (glob) => new RegExp(`^${glob.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`)

/** Every violation in the tree at `base`, as one line of text each. */
export function checkLayers(base) {
  const file = join(base, 'layers.json')
  if (!existsSync(file)) throw new ScriptError('E_LAYERS', `${file} is missing`)
  const layers = JSON.parse(readFileSync(file, 'utf8'))
  const problems = []
  for (const [tree, { rooms, only, never }] of Object.entries(layers)) {
    const { files, references, resolve: resolveTarget } = trees[tree]
    const names = Object.keys(rooms).sort((a, b) => b.length - a.length)
    const roomOf = (path) => names.find((name) => path.startsWith(`${name}/`) || path.replace(/\.[^./]+$/, '') === name)
    for (const [name, allowed] of Object.entries(rooms)) {
      for (const unknown of allowed.filter((other) => !(other in rooms))) {
        problems.push(`layers.json: ${tree}/${name} names the unknown room ${unknown}`)
      }
    }
    const rules = [
      ...only.map((rule) => ({ ...rule, inside: false })),
      ...never.map((rule) => ({ ...rule, inside: true })),
    ].map((rule) => ({ ...rule, includes: new RegExp(rule.includes), in: rule.in.map(toPattern) }))
    for (const full of listFiles(tree, files, base)) {
      const path = full.slice(tree.length + 1)
      const from = roomOf(path)
      if (from === undefined) {
        problems.push(`${full}: belongs to no room of layers.json`)
        continue
      }
      for (const target of references(readFileSync(join(base, full), 'utf8'))) {
        for (const rule of rules) {
          if (rule.includes.test(target) && rule.in.some((pattern) => pattern.test(full)) === rule.inside) {
            problems.push(`${full}: may not include ${target}: ${rule.why}`)
          }
        }
        const resolved = resolveTarget(path, target, (candidate) => existsSync(join(base, tree, candidate)))
        if (resolved === undefined) continue
        const to = roomOf(resolved)
        if (resolved.startsWith('..')) {
          problems.push(`${full}: reaches out of ${tree}/ (${target})`)
        } else if (to === undefined) {
          problems.push(`${full}: reaches a file outside every room (${target})`)
        } else if (to !== from && !rooms[from].includes(to)) {
          problems.push(`${full}: ${from} may not reach into ${to} (${target})`)
        }
      }
    }
  }
  return problems
}

await runMain(import.meta, 'check-layers', () => {
  const { values } = parseArgs({ options: { root: { type: 'string', default: root } } })
  const problems = checkLayers(resolve(values.root))
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) throw new ScriptError('E_LAYERS', `${problems.length} violation(s) of layers.json`)
  console.log('layers: nothing reaches upwards')
})
