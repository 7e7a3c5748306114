#!/usr/bin/env node
// Fails when files are long: of the sources of a tree the median, the 90th percentile or a single file; of the tests a single file. A
// file over the bound may stand in sizes.json at the root with its reason, which fails in turn when it is no longer needed.
//
// Usage: node scripts/check-sizes.mjs [--root DIRECTORY]
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { listFiles, root, runMain, ScriptError } from './lib/project.mjs'

const sources = { median: 100, p90: 220, longest: 450 }
const bounds = {
  native: sources,
  src: sources,
  scripts: sources,
  bench: sources,
  examples: sources,
  test: { median: Number.POSITIVE_INFINITY, p90: Number.POSITIVE_INFINITY, longest: 600 },
}
const pattern = /\.(h|cpp|cu|cuh|def|inc|inl|ts|mjs|cjs|js|py)$/

await runMain(import.meta, 'check-sizes', () => {
  const { values } = parseArgs({ options: { root: { type: 'string', default: root } } })
  const base = resolve(values.root)
  const listed = join(base, 'sizes.json')
  const reasons = existsSync(listed) ? JSON.parse(readFileSync(listed, 'utf8')) : {}
  const problems = []
  const long = new Set()
  for (const [tree, bound] of Object.entries(bounds)) {
    const files = listFiles(tree, pattern, base)
    if (files.length === 0) continue
    const lengths = files.map((file) => readFileSync(join(base, file), 'utf8').split('\n').length - 1)
    for (const [i, file] of files.entries()) {
      if (lengths[i] <= bound.longest) continue
      long.add(file)
      if (!reasons[file]) {
        problems.push(`${file}: ${lengths[i]} lines, at most ${bound.longest} (or a reason in sizes.json)`)
      }
    }
    const sorted = lengths.toSorted((a, b) => a - b)
    const found = { median: sorted[sorted.length >> 1], p90: sorted[Math.floor(sorted.length * 0.9)] }
    for (const name of /** @type {const} */ (['median', 'p90'])) {
      if (found[name] > bound[name]) problems.push(`${tree}: ${name} ${found[name]} lines, at most ${bound[name]}`)
    }
    const [count, median, p90] = [files.length, found.median, found.p90].map((number) => String(number).padStart(4))
    console.log(`sizes: ${tree.padEnd(8)} ${count} files, median ${median}, p90 ${p90}, longest ${sorted.at(-1)}`)
  }
  for (const file of Object.keys(reasons)) {
    if (!long.has(file)) problems.push(`sizes.json: ${file} is within its bound, the reason is not needed`)
  }
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) throw new ScriptError('E_SIZES', `${problems.length} size(s) over the bound`)
})
