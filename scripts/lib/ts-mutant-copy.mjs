// One build that holds every mutant: each changed expression e becomes (mutant(7) ? changed : e), each statement an if. An environment
// variable says which one is on, so that trying a mutant costs a run of tests and no build.
import { copyFileSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { listFiles, ScriptError } from './project.mjs'

/** @typedef {import('./mutants.mjs').Mutant & { statement: boolean, number: number }} TsMutant `number` from 1 switches it on */

/** `mutant(n)`: is it on? With MUTANTS_REACHED, a file, none is: the numbers that are asked for are written down, each once. */
const runtime = `import { appendFileSync } from 'node:fs'
const on = Number(process.env.MUTANT_ON ?? 0)
const log = process.env.MUTANTS_REACHED
const asked = new Set()
function note(n) {
  if (asked.has(n)) return false
  asked.add(n)
  try {
    appendFileSync(log, n + '\\n')
  } catch {} // a test that plays a full disk: what it reaches is known from the others
  return false
}
export const mutant = log === undefined ? (n) => n === on : note
`

/**
 * A source with all its mutants, which lie within one another as expressions do.
 * @param {string} source
 * @param {TsMutant[]} mutants
 * @param {string} runtimeUrl
 */
export function instrument(source, mutants, runtimeUrl) {
  if (mutants.length === 0) return source
  /** @type {Map<string, { start: number, end: number, statement: boolean, list: TsMutant[] }>} */
  const spans = new Map()
  for (const mutant of mutants) {
    const { start, end, statement } = mutant
    const key = `${start} ${end} ${statement}`
    const span = spans.get(key) ?? { start, end, statement, list: [] }
    span.list.push(mutant)
    spans.set(key, span)
  }
  // Outer before inner; a statement before the expression that is all of it.
  const order = [...spans.values()].sort(
    (a, b) => a.start - b.start || b.end - a.end || Number(b.statement) - Number(a.statement),
  )
  let next = 0
  const render = (/** @type {number} */ from, /** @type {number} */ to) => {
    let text = ''
    let at = from
    for (let span = order[next]; span !== undefined && span.end <= to; span = order[next]) {
      ++next
      text += source.slice(at, span.start)
      const inside = render(span.start, span.end)
      // (0, {a}): after a question mark ({a}) would begin an arrow function, whose type the colon brings.
      text += span.statement
        ? `{ ${span.list.map(({ number, after }) => `if (__mutant(${number})) { ${after} } else `).join('')}{ ${inside} } }`
        : `(${span.list.map(({ number, after }) => `__mutant(${number}) ? (0, ${after}) : `).join('')}(${inside}))`
      at = span.end
    }
    return text + source.slice(at, to)
  }
  return `import { mutant as __mutant } from '${runtimeUrl}'; ${render(0, source.length)}`
}

const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022, verbatimModuleSyntax: true }

function transpile(/** @type {string} */ fileName, /** @type {string} */ text) {
  const result = ts.transpileModule(text, { fileName, compilerOptions, reportDiagnostics: true })
  const [wrong] = result.diagnostics ?? []
  if (wrong === undefined) return result.outputText
  const start = wrong.start ?? 0
  throw new ScriptError('E_MUTANTS', `${fileName}: ${wrong.messageText}: ${text.slice(start - 40, start + 40)}`)
}

/** A test names its children by their sources; a page names tests by theirs. */
const childrenCompiled = (/** @type {string} */ text) =>
  text.replace(/(['"`])(test\/[^'"`\s]*(?<!\.test))\.ts\1/g, '$1$2.js$1')

function place(/** @type {string} */ from, /** @type {string} */ to) {
  mkdirSync(dirname(to), { recursive: true })
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to) // another device
  }
}

/**
 * Compiles the tests of a folder, and lays the sources beside them; folders without a program are linked.
 * @param {string} base
 * @param {string} copy
 * @param {string} folder
 */
function layTests(base, copy, folder) {
  mkdirSync(join(copy, folder), { recursive: true })
  for (const entry of readdirSync(join(base, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      if (listFiles(path, /\.[mc]?[jt]s$/, base).length > 0) layTests(base, copy, path)
      else symlinkSync(join(base, path), join(copy, path))
    } else if (path.endsWith('.ts')) {
      const text = childrenCompiled(readFileSync(join(base, path), 'utf8'))
      writeFileSync(join(copy, path.replace(/ts$/, 'js')), transpile(path, text))
    }
    if (!entry.isDirectory()) place(join(base, path), join(copy, path))
  }
}

/** Programs that look for `dist` from where they lie, which for a linked folder would be at `base`: its files are laid one by one. */
const programs = ['scripts', 'bench', 'examples']

/**
 * Lays a copy of the project at `base` into the empty folder `copy`: `src` and `dist` compiled from the sources with their mutants,
 * the tests compiled, everything else a link to where it lies. Nothing is written at `base`.
 * @param {string} base
 * @param {string} copy
 * @param {TsMutant[]} mutants
 */
export function layCopy(base, copy, mutants) {
  const runtimeFile = join(copy, 'mutant-runtime.mjs')
  writeFileSync(runtimeFile, runtime)
  for (const name of readdirSync(base)) {
    if (['.git', '.tap', 'src', 'dist', 'test', 'package.json'].includes(name)) continue
    if (!programs.includes(name)) symlinkSync(join(base, name), join(copy, name))
    else for (const file of listFiles(name, /./, base)) place(join(base, file), join(copy, file))
  }
  copyFileSync(join(base, 'package.json'), join(copy, 'package.json'))
  for (const file of listFiles('src', /\.ts$/, base)) {
    const source = readFileSync(join(base, file), 'utf8')
    const own = mutants.filter((mutant) => mutant.file === file)
    const code = transpile(file, instrument(source, own, pathToFileURL(runtimeFile).href))
    for (const folder of ['src', 'dist']) {
      const target = join(copy, folder, relative('src', file).replace(/ts$/, 'js'))
      mkdirSync(dirname(target), { recursive: true })
      writeFileSync(target, code)
    }
  }
  layTests(base, copy, 'test')
}
