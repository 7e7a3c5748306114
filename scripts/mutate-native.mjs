#!/usr/bin/env node
// Changes the C++ engine in one place at a time and asks the native tests whether they notice. What they do not notice is alive: a
// test is missing, or the change makes no difference and stands in test/mutants-equivalent.json with the reason.
//
// Usage: node scripts/mutate-native.mjs [--rooms native/model,native/io] [--file native/io/json.cpp]… [--count 200] [--seed 1]
//          [--only ID]…   these mutants alone          [--list]       names them and tries none
//          [--report FILE]  a line of JSON a mutant    [--max-alive 8]  fails above so many percent alive
//          [--resume]  goes on from such a report: what was killed is not tried again
//
// The sources are copied to build/mutants and changed there: the checkout is never written to. A mutant is killed by a failed
// case, a crash, or no end within five times the usual processor time; one that does not compile, or compiles to the same
// program, does not count.
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { findMutations } from './lib/cpp-mutations.mjs'
import {
  chooseMutants,
  describeMutant,
  mutantOptions,
  nameMutants,
  readEquivalents,
  shareAlive,
  startReport,
  table,
} from './lib/mutants.mjs'
import { isDispatched, NativeMutantTree } from './lib/native-mutant-tree.mjs'
import { lowerIsaLevels } from './lib/native-programs.mjs'
import { listFiles, root, runMain, ScriptError } from './lib/project.mjs'

const allRooms = ['training', 'engine', 'model', 'aggregation', 'factors', 'vectors', 'compression', 'io'].map(
  (room) => `native/${room}`,
)

/** @typedef {{ name: string, path: string, level: string, distance: number }} Run a program at an instruction set */

/** What may notice a change of `file`, nearest first; those of the room at every instruction set where the room has files of single ones. */
function runsOf(/** @type {NativeMutantTree} */ tree, /** @type {string} */ file) {
  const levels = isDispatched(join(tree.base, dirname(file))) ? lowerIsaLevels() : []
  const users = tree.users(file)
  const near = users.filter(({ distance }) => distance === 0)
  /** @type {Run[]} */
  const weaker = near.flatMap((program) => levels.map((level) => ({ ...program, level })))
  return [
    ...near.map((program) => ({ ...program, level: '' })),
    ...weaker,
    ...users.filter(({ distance }) => distance > 0).map((program) => ({ ...program, level: '' })),
  ]
}

/** Files of other systems and processors: nothing here compiles them. */
const elsewhere = new RegExp(
  [
    ...(process.platform === 'win32' ? [] : ['_windows']),
    ...(process.arch === 'arm64' ? [] : ['_(arm64|neon(bf16)?)', '/neon(bf16)?/']),
    ...(process.arch === 'x64' ? [] : ['_(x86|avx2|avx512(bf16)?)', '/avx(2|512bf16)/']),
  ].join('|'),
)

/** Builds and runs one mutant. */
async function tryMutant(
  /** @type {NativeMutantTree} */ tree,
  /** @type {import('./lib/mutants.mjs').Mutant} */ { file, start, end, after },
) {
  const source = tree.source(file)
  const change = () => tree.write(file, source.slice(0, start) + after + source.slice(end))
  const same = new Set()
  const built = new Set()
  change()
  try {
    const runs = runsOf(tree, file)
    for (const { name, path, level } of runs) {
      if (!built.has(name)) {
        if (!(await tree.link(name))) return { outcome: 'invalid', by: 'does not compile' }
        built.add(name)
        if (tree.hash(name) === tree.baseline.get(name)) same.add(name)
      }
      if (same.has(name)) continue
      if (tree.seconds(name, level) === undefined) {
        tree.restore(file)
        await tree.link(name)
        tree.measure(name, level)
        change()
        await tree.link(name)
      }
      const failure = await tree.execute(path, { level, limit: 3 + 5 * (tree.seconds(name, level) ?? 0) })
      if (failure !== undefined) return { outcome: 'killed', by: `${name}${level && ` at ${level}`}: ${failure}` }
    }
    if (runs.length > 0 && same.size === built.size) return { outcome: 'invalid', by: 'the same program' }
    return { outcome: 'alive', by: runs.length === 0 ? 'no program holds it' : '' }
  } finally {
    tree.restore(file)
  }
}

await runMain(import.meta, 'mutate-native', async () => {
  const values = /** @type {import('./lib/mutants.mjs').MutantValues} */ (parseArgs({ options: mutantOptions }).values)
  const base = resolve(values.root ?? root)
  const folders = values.rooms?.split(',') ?? allRooms
  const compiled = (/** @type {string} */ file) => !elsewhere.test(file)
  const files = values.file ?? folders.flatMap((folder) => listFiles(folder, /\.(cpp|h)$/, base)).filter(compiled)
  const folder = join(base, 'build', 'mutants')
  const tree = new NativeMutantTree(base, join(folder, 'native'))
  const all = files.flatMap((file) => {
    const source = tree.source(file)
    return nameMutants(source, findMutations(file, source))
  })
  const chosen = chooseMutants(all, { seed: values.seed, count: values.count, only: values.only })
  if (chosen.length === 0) throw new ScriptError('E_MUTANTS', `no mutant in ${files.length} files`)
  if (values.list) {
    for (const mutant of chosen) console.log(describeMutant(mutant))
    return
  }

  const equivalents = readEquivalents(join(base, 'test', 'mutants-equivalent.json'))
  const report = startReport(values.report ?? join(folder, 'native.jsonl'), chosen, values.resume)
  tree.prepare()
  // File by file, so that putting one mutant back and making the next compiles once.
  for (const mutant of report.rest.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.start - b.start))) {
    const start = performance.now()
    const reason = equivalents.reasonFor(mutant)
    const { outcome, by } = reason === undefined ? await tryMutant(tree, mutant) : { outcome: 'equivalent', by: reason }
    report.add({ mutant, outcome: /** @type {any} */ (outcome), by, seconds: (performance.now() - start) / 1000 })
  }
  tree.clean()
  console.log(`\n${table(report.results, dirname)}`)
  for (const entry of equivalents.stale(all)) {
    console.log(
      `test/mutants-equivalent.json: no such mutant any more: ${entry.file}  ${entry.before} → ${entry.after}`,
    )
  }
  const share = shareAlive(report.results)
  if (!(share <= Number(values['max-alive'])))
    throw new ScriptError('E_MUTANTS', `${share.toFixed(1)} % alive, at most ${values['max-alive']} %`)
})
