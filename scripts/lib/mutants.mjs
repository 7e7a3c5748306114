// What the mutation tools share: the name of a mutant, the choice of a sample, the list of known equivalents, the report.
//
// A mutant is one small change of one source file. Its name is made of the file, the text of the line and the change, not of
// the line's number, so that it is the same after lines were added above.
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * @typedef {object} Change what a finder of mutations returns
 * @property {string} file path from the root
 * @property {string} kind which sort of change: 'arithmetic', 'constant', 'statement' …
 * @property {number} start offset of the text that is replaced
 * @property {number} end offset behind it
 * @property {string} after what stands there instead
 *
 * @typedef {Change & { id: string, line: number, text: string, before: string, nth: number }} Mutant
 *   line from 1, text of that line without blanks around, nth of equal changes of equal lines in this file, from 1
 *
 * @typedef {object} Equivalent an entry of the list: a mutant that no test can kill, and why
 * @property {string} file
 * @property {string} text
 * @property {string} before
 * @property {string} after
 * @property {number} [nth] 1 when absent
 * @property {string} reason
 *
 * @typedef {'killed' | 'alive' | 'equivalent' | 'invalid'} Outcome invalid: it does not compile, or compiles to the same program
 * @typedef {{ mutant: Mutant, outcome: Outcome, by: string, seconds: number }} Result by: the test, or the reason
 */

/**
 * Options of every mutation tool, for parseArgs.
 * @typedef {{ root?: string, rooms?: string, file?: string[], only?: string[], count?: string, seed: string, 'max-alive': string,
 *   report?: string, resume: boolean, list: boolean }} MutantValues what they give
 */
export const mutantOptions = /** @type {const} */ ({
  root: { type: 'string' },
  rooms: { type: 'string' },
  file: { type: 'string', multiple: true },
  only: { type: 'string', multiple: true },
  count: { type: 'string' },
  seed: { type: 'string', default: '1' },
  'max-alive': { type: 'string', default: '8' },
  report: { type: 'string' },
  resume: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
})

const digest = (/** @type {string} */ text) => createHash('sha256').update(text).digest('hex')

/** What two mutants must have in common to be the same; `nth` tells equal changes of equal lines apart. */
const key = (/** @type {Omit<Equivalent, 'reason'>} */ { file, text, before, after, nth = 1 }) =>
  JSON.stringify([file, text, before, after, nth])

/**
 * Names the changes of one file.
 * @param {string} source
 * @param {Change[]} changes
 * @returns {Mutant[]}
 */
export function nameMutants(source, changes) {
  const seen = new Map()
  return changes.map((change) => {
    const lineStart = source.lastIndexOf('\n', change.start - 1) + 1
    const lineEnd = source.indexOf('\n', change.start)
    const text = source.slice(lineStart, lineEnd < 0 ? undefined : lineEnd).trim()
    const before = source.slice(change.start, change.end)
    const equal = key({ ...change, text, before })
    const nth = (seen.get(equal) ?? 0) + 1
    seen.set(equal, nth)
    const line = source.slice(0, change.start).split('\n').length
    return { ...change, line, text, before, nth, id: digest(key({ ...change, text, before, nth })).slice(0, 8) }
  })
}

/**
 * The sample: all mutants in the order of a hash over seed and name, cut at `count`. A file's changes move no other file's. `evenly`
 * takes one of each file in turn, so that a small file is tried like a large one.
 * @template {Pick<Mutant, 'id' | 'file'>} M
 * @param {M[]} mutants
 * @param {{ seed: string, count?: string, only?: string[], evenly?: boolean }} options
 */
export function chooseMutants(mutants, { seed, count, only, evenly = false }) {
  if (only !== undefined) return mutants.filter(({ id }) => only.includes(id))
  const rank = (/** @type {M} */ { id }) => digest(`${seed} ${id}`)
  const ranked = mutants.map((mutant) => ({ mutant, rank: rank(mutant), turn: 0 }))
  ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1))
  if (evenly) {
    const turns = new Map()
    for (const choice of ranked) {
      choice.turn = turns.get(choice.mutant.file) ?? 0
      turns.set(choice.mutant.file, choice.turn + 1)
    }
    ranked.sort((a, b) => a.turn - b.turn)
  }
  return ranked.slice(0, count === undefined ? undefined : Number(count)).map(({ mutant }) => mutant)
}

/**
 * The list of known equivalents: `reasonFor` a mutant, and the entries of these mutants' files that meet none of them.
 * @param {string} file
 */
export function readEquivalents(file) {
  /** @type {Equivalent[]} */
  const entries = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
  const reasons = new Map(entries.map((entry) => [key(entry), entry.reason]))
  return {
    reasonFor: (/** @type {Mutant} */ mutant) => reasons.get(key(mutant)),
    stale: (/** @type {Mutant[]} */ mutants) => {
      const met = new Set(mutants.map(key))
      const files = new Set(mutants.map((mutant) => mutant.file))
      return entries.filter((entry) => files.has(entry.file) && !met.has(key(entry)))
    },
  }
}

const shorten = (/** @type {string} */ text, width = 60) => {
  const flat = text.replace(/\s+/g, ' ')
  return flat.length > width ? `${flat.slice(0, width - 1)}…` : flat
}

/** A mutant as one line: its name, place and change. */
export const describeMutant = (/** @type {Mutant} */ { id, file, line, before, after }) =>
  `${id} ${file}:${line}  ${shorten(before)} → ${shorten(after) || 'nothing'}`

/**
 * Those of `chosen` that a report's file says were killed or are no mutants; the others are to be tried, again or for the first time.
 * @template {Mutant} M
 * @param {string} file
 * @param {M[]} chosen
 */
function alreadyTried(file, chosen) {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  /** @type {Map<string, Omit<Result, 'mutant'>>} */
  const told = new Map(
    lines.map((line) => {
      const { id, outcome, by, seconds } = JSON.parse(line)
      return [id, { outcome, by, seconds }]
    }),
  )
  return chosen.flatMap((mutant) => {
    const result = told.get(mutant.id)
    return result?.outcome === 'killed' || result?.outcome === 'invalid' ? [{ mutant, ...result }] : []
  })
}

/**
 * Takes results as they come: a line on the screen and a line of JSON in the file each. `rest` are the mutants to try: with `resume` the
 * results of an earlier run that ended early, or left some alive, are taken from its file, all but those alive.
 * @template {Mutant} M
 * @param {string} file
 * @param {M[]} chosen
 * @param {boolean} resume
 */
export function startReport(file, chosen, resume) {
  const total = chosen.length
  const tried = resume ? alreadyTried(file, chosen) : []
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, '')
  /** @type {Result[]} */
  const results = []
  const add = (/** @type {Result} */ result) => {
    results.push(result)
    const { mutant, outcome, by, seconds } = result
    console.log(
      `${String(results.length).padStart(4)}/${total} ${outcome.padEnd(10)} ${describeMutant(mutant)}` +
        `${by === '' ? '' : `  [${shorten(by, 80)}]`}  ${seconds.toFixed(1)} s`,
    )
    const { start: _start, end: _end, ...named } = mutant
    appendFileSync(file, `${JSON.stringify({ ...named, outcome, by, seconds })}\n`)
  }
  for (const result of tried) add(result)
  const known = new Set(tried.map(({ mutant }) => mutant.id))
  return { results, add, rest: chosen.filter(({ id }) => !known.has(id)) }
}

const count = (/** @type {Result[]} */ results, /** @type {Outcome} */ outcome) =>
  results.filter((result) => result.outcome === outcome).length

/** Alive without a reason, in percent of all that count: a mutant that does not compile or changes nothing does not. */
export function shareAlive(/** @type {Result[]} */ results) {
  const all = results.length - count(results, 'invalid')
  return all === 0 ? 0 : (100 * count(results, 'alive')) / all
}

/**
 * The table at the end: one row a room, then the survivors.
 * @param {Result[]} results
 * @param {(file: string) => string} roomOf
 */
export function table(results, roomOf) {
  const rooms = [...new Set(results.map(({ mutant }) => roomOf(mutant.file)))].sort()
  const row = (/** @type {string} */ name, /** @type {Result[]} */ some) => {
    const all = some.length - count(some, 'invalid')
    const cells = [all, count(some, 'killed'), count(some, 'equivalent'), count(some, 'alive')]
    return `| ${name} | ${cells.join(' | ')} | ${shareAlive(some).toFixed(1)} % |`
  }
  const survivors = results.filter(({ outcome }) => outcome === 'alive').map(({ mutant }) => describeMutant(mutant))
  return [
    '| room | mutants | killed | equivalent | alive | share alive |',
    '|---|--:|--:|--:|--:|--:|',
    ...rooms.map((room) =>
      row(
        room,
        results.filter(({ mutant }) => roomOf(mutant.file) === room),
      ),
    ),
    row('all', results),
    ...(survivors.length > 0 ? ['', 'alive:', ...survivors] : []),
  ].join('\n')
}
