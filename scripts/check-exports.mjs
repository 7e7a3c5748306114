#!/usr/bin/env node
// Fails when a file of src exports a name that no other file mentions. By words, not by meaning: a name that two files export hides a
// dead one, but nothing that is used is called dead. An export that only tests use counts as used. Types may be exported for whoever
// reads the signatures they stand in, schemas for scripts/document-types.mjs.
//
// Usage: node scripts/check-exports.mjs [--root DIRECTORY]
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { listFiles, root, runMain, ScriptError } from './lib/project.mjs'

const readers = ['src', 'test', 'scripts', 'bench', 'examples']
const declaration = /^export (?:abstract |async |declare )*(?:function\*?|class|const|let) (?!\w+Schema\b)(\w+)/gm

await runMain(import.meta, 'check-exports', () => {
  const { values } = parseArgs({ options: { root: { type: 'string', default: root } } })
  const base = resolve(values.root)
  const texts = new Map(
    readers
      .flatMap((folder) => listFiles(folder, /\.(ts|mts|mjs|cjs)$/, base))
      .map((file) => [file, readFileSync(join(base, file), 'utf8')]),
  )
  /** How many files mention a word. */
  const mentions = new Map()
  for (const text of texts.values()) {
    for (const word of new Set(text.match(/\w+/g))) mentions.set(word, (mentions.get(word) ?? 0) + 1)
  }
  let count = 0
  const dead = []
  for (const [file, text] of texts) {
    if (!file.startsWith('src/')) continue
    for (const [, name] of text.matchAll(declaration)) {
      count++
      if (mentions.get(name) === 1) dead.push(`${file}: ${name} is exported, but no other file names it`)
    }
  }
  for (const problem of dead) console.error(problem)
  if (dead.length > 0) throw new ScriptError('E_EXPORTS', `${dead.length} dead export(s)`)
  console.log(`exports: each of ${count} is used`)
})
