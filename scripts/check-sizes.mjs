#!/usr/bin/env node
// Fails when a source file has more than 600 lines, unless sizes.json at the root lists it with a reason, and when such
// an exception is no longer needed.
//
// Usage: node scripts/check-sizes.mjs [--root DIRECTORY]
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { listFiles, root, runMain, ScriptError } from './lib/project.mjs'

const limit = 600
const folders = ['native', 'src', 'test', 'scripts', 'bench', 'examples']
const sources = /\.(h|cpp|def|inc|inl|ts|mjs|js|py)$/

await runMain(import.meta, 'check-sizes', () => {
  const { values } = parseArgs({ options: { root: { type: 'string', default: root } } })
  const base = resolve(values.root)
  const listed = join(base, 'sizes.json')
  const exceptions = existsSync(listed) ? JSON.parse(readFileSync(listed, 'utf8')) : {}
  const problems = []
  const lengths = []
  const long = new Set()
  for (const file of folders.flatMap((folder) => listFiles(folder, sources, base))) {
    const lines = readFileSync(join(base, file), 'utf8').split('\n').length - 1
    lengths.push(lines)
    if (lines <= limit) continue
    long.add(file)
    if (!exceptions[file]) problems.push(`${file}: ${lines} lines, at most ${limit} (or a reason in sizes.json)`)
  }
  for (const file of Object.keys(exceptions)) {
    if (!long.has(file)) problems.push(`sizes.json: ${file} is not over ${limit} lines, the exception is not needed`)
  }
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) throw new ScriptError('E_SIZES', `${problems.length} file(s) of the wrong size`)
  lengths.sort((a, b) => a - b)
  console.log(`sizes: ${lengths.length} files, median ${lengths[lengths.length >> 1]} lines, longest ${lengths.at(-1)}`)
})
