#!/usr/bin/env node
// Changes the TypeScript sources in one place at a time and asks the tests whether they notice. What they do not notice is alive: a test is
// missing, or the change makes no difference and stands in test/mutants-equivalent.json with the reason.
//
// Usage: node scripts/mutate.mjs [--rooms src/data,src/run] [--file src/data/batches.ts]… [--count 60] [--seed 1]  evenly over files
//          [--only ID]…   these mutants alone          [--list]       names them and tries none
//          [--report FILE]  a line of JSON a mutant    [--max-alive 8]  fails above so many percent alive
//          [--resume]  goes on from such a report: what was killed is not tried again
//          [--tests test/unit/data-]…  only test files that begin so     [--patience 20]  seconds beyond five times the usual
//          [--limit 150]  no test file is begun for a mutant after so many seconds: it is alive, and the report says how many were left
//
// All mutants are built at once into a temporary copy of the project, each switched on by an environment variable. Every test file runs
// once over the unchanged code, to learn which mutants it reaches; then each mutant is run against the files that reach it, those named
// most like its own first, the quicker before the slower, until one fails, crashes or does not end. The checkout is never written to but
// for build/mutants; the copy goes with the program.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
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
import { listFiles, root, runMain, ScriptError } from './lib/project.mjs'
import { layCopy } from './lib/ts-mutant-copy.mjs'
import { runTest, stopRunning } from './lib/ts-mutant-tests.mjs'
import { findMutations } from './lib/ts-mutations.mjs'

/** @typedef {import('./lib/ts-mutant-copy.mjs').TsMutant} TsMutant */
/** @typedef {{ seconds: number, numbers: Set<number> }} Facts of a test file over the unchanged code */

const allRooms = ['federated', 'aggregation', 'training', 'run', 'data', 'model'].map((room) => `src/${room}`)
/** Tests of how the package is packed, linted and documented: the copy is no package. */
const unfit = /^test\/(native|parity\/.*|contract\/(packaging-.*|docs-.*|examples)|unit\/mutants-.*)\.test\.ts$/
const source = (/** @type {string} */ base, /** @type {string} */ file) => readFileSync(join(base, file), 'utf8')

/** Every mutant of the rooms that are tried. */
function allMutants(/** @type {string} */ base) {
  const files = allRooms.flatMap((room) => listFiles(room, /\.ts$/, base))
  const found = files.flatMap((file) => nameMutants(source(base, file), findMutations(file, source(base, file))))
  return found.map((mutant, i) => /** @type {TsMutant} */ ({ ...mutant, number: i + 1 }))
}

/**
 * What each test file reaches. It is kept in build/mutants for as long as sources, helpers and the test file are the same.
 * @param {string} base
 * @param {string} copy
 * @param {string[]} tests
 */
async function learn(base, copy, tests) {
  const hash = (/** @type {string[]} */ files) => {
    const sum = createHash('sha256')
    for (const file of files) sum.update(`\0${file}\0`).update(readFileSync(join(base, file)))
    return sum.digest('hex')
  }
  const helpers = listFiles('test', /\.(ts|mjs)$/, base).filter((file) => !file.endsWith('.test.ts'))
  const common = hash([...listFiles('src', /\.ts$/, base), ...helpers])
  const kept = join(base, 'build', 'mutants', 'reached.json')
  /** @type {Record<string, { key: string, failure?: string, seconds: number, numbers: number[] }>} */
  const known = existsSync(kept) ? JSON.parse(readFileSync(kept, 'utf8')) : {}
  /** @type {Map<string, Facts>} */
  const learnt = new Map()
  for (const test of tests) {
    const key = common + hash([test])
    let facts = known[test]
    if (facts?.key !== key) {
      const reached = join(copy, 'reached')
      writeFileSync(reached, '')
      const { failure, seconds } = await runTest(copy, test, { MUTANTS_REACHED: reached }, 900)
      const numbers = new Set(readFileSync(reached, 'utf8').split('\n').filter(Boolean).map(Number))
      facts = { key, failure, seconds, numbers: [...numbers] }
      known[test] = facts
      mkdirSync(dirname(kept), { recursive: true })
      writeFileSync(kept, JSON.stringify(known))
      const outcome =
        failure === undefined ? `reaches ${numbers.size}` : `is left out, it fails without a mutant: ${failure}`
      console.log(`${test} ${outcome}  ${seconds.toFixed(1)} s`)
    }
    if (facts.failure === undefined) learnt.set(test, { seconds: facts.seconds, numbers: new Set(facts.numbers) })
  }
  return learnt
}

/** 'src/data/tokens/words.ts' → data, tokens, words. */
const wordsOf = (/** @type {string} */ file) => file.split(/[^a-z]+/).filter((word) => !/^(src|test|ts)?$/.test(word))

/**
 * @param {string} copy
 * @param {TsMutant} mutant
 * @param {Map<string, Facts>} learnt
 * @param {{ patience: number, limit: number }} times seconds
 */
async function tryMutant(copy, mutant, learnt, { patience, limit }) {
  const reaching = [...learnt].filter(([, { numbers }]) => numbers.has(mutant.number))
  const words = wordsOf(mutant.file)
  const near = (/** @type {string} */ test) => wordsOf(test).filter((word) => words.includes(word)).length
  reaching.sort(([a, { seconds: s }], [b, { seconds: t }]) => near(b) - near(a) || s - t)
  const end = performance.now() + 1000 * limit
  for (const [index, [test, { seconds }]] of reaching.entries()) {
    if (!(performance.now() < end))
      return { outcome: 'alive', by: `${reaching.length - index} test files were not asked` }
    const { failure } = await runTest(copy, test, { MUTANT_ON: String(mutant.number) }, patience + 5 * seconds)
    if (failure !== undefined) return { outcome: 'killed', by: `${test}: ${failure}` }
  }
  return { outcome: 'alive', by: reaching.length === 0 ? 'no test reaches it' : '' }
}

/** A folder that goes with the program, however that ends, and what runs in it. */
function temporaryCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'fedlora-mutants-'))
  process.on('exit', () => {
    stopRunning()
    rmSync(copy, { recursive: true, force: true })
  })
  process.on('SIGINT', () => process.exit(130))
  process.on('SIGTERM', () => process.exit(143))
  return copy
}

await runMain(import.meta, 'mutate', async () => {
  const options = parseArgs({
    options: {
      ...mutantOptions,
      tests: { type: 'string', multiple: true, default: ['test/'] },
      patience: { type: 'string', default: '20' },
      limit: { type: 'string', default: 'Infinity' },
    },
  })
  const values =
    /** @type {import('./lib/mutants.mjs').MutantValues & { tests: string[], patience: string, limit: string }} */ (
      options.values
    )
  const base = resolve(values.root ?? root)
  const all = allMutants(base)
  const places = values.file ?? values.rooms?.split(',') ?? allRooms
  const inPlace = all.filter(({ file }) => places.some((place) => file === place || file.startsWith(`${place}/`)))
  const chosen = chooseMutants(inPlace, { seed: values.seed, count: values.count, only: values.only, evenly: true })
  if (chosen.length === 0) throw new ScriptError('E_MUTANTS', 'no such mutant; --list names them all')
  if (values.list) {
    for (const mutant of chosen) console.log(describeMutant(mutant))
    return
  }

  const tests = listFiles('test', /\.test\.ts$/, base).filter(
    (test) => !unfit.test(test) && values.tests.some((place) => test.startsWith(place)),
  )
  const copy = temporaryCopy()
  layCopy(base, copy, all)
  const learnt = await learn(base, copy, tests)
  if (learnt.size === 0) throw new ScriptError('E_MUTANTS', 'no test file passes without a mutant')
  const equivalents = readEquivalents(join(base, 'test', 'mutants-equivalent.json'))
  const times = { patience: Number(values.patience), limit: Number(values.limit) }
  const report = startReport(values.report ?? join(base, 'build', 'mutants', 'typescript.jsonl'), chosen, values.resume)
  for (const mutant of report.rest) {
    const start = performance.now()
    const reason = equivalents.reasonFor(mutant)
    const { outcome, by } =
      reason === undefined
        ? await tryMutant(copy, /** @type {TsMutant} */ (mutant), learnt, times)
        : { outcome: 'equivalent', by: reason }
    report.add({ mutant, outcome: /** @type {any} */ (outcome), by, seconds: (performance.now() - start) / 1000 })
  }
  console.log(`\n${table(report.results, dirname)}`)
  for (const { file, before, after } of equivalents.stale(all)) {
    console.log(`test/mutants-equivalent.json: no such mutant any more: ${file}  ${before} → ${after}`)
  }
  const share = shareAlive(report.results)
  if (!(share <= Number(values['max-alive'])))
    throw new ScriptError('E_MUTANTS', `${share.toFixed(1)} % alive, at most ${values['max-alive']} %`)
})
