#!/usr/bin/env node
// Plants the bugs of test/native/cuda/mutants.json in the CUDA kernels, one at a time, and demands that the program named there turns red
// in the emulator: wrong numbers, a fault, a deadlock. Without the bug it must be green. Needs the native tests built (setup.mjs --tests).
//
// An entry: { file, find (text that occurs once), replace, program, why,
//             only (cases by name), seeds (4), strict (false), alive (true: a change that makes no difference, which must not turn red) }
//
// Usage: node scripts/mutate-cuda.mjs [--only TEXT]    (entries whose file, program or reason contains TEXT)
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { EmulatedBuild } from './lib/emulated-build.mjs'
import { runAll, runProgram } from './lib/native-programs.mjs'
import { jobs, root, run, runMain, ScriptError } from './lib/project.mjs'

/** A mutant that runs longer hangs. */
const secondsAtMost = 120

/**
 * @typedef {{ file: string, find: string, replace: string, program: string, why: string, only?: string, seeds?: number, strict?: boolean,
 *   alive?: boolean }} Mutant
 */

/** The text with the bug in it. */
function plant(/** @type {Mutant} */ { file, find, replace }) {
  if (!existsSync(join(root, file))) throw new ScriptError('E_MUTANT', `${file}: there is no such file`)
  const parts = readFileSync(join(root, file), 'utf8').split(find)
  if (parts.length !== 2)
    throw new ScriptError('E_MUTANT', `${file}: the text occurs ${parts.length - 1} times, not once: ${find}`)
  return parts.join(replace)
}

const argumentsOf = (/** @type {Mutant} */ { only, seeds = 4, strict = false }) => [
  ...(only ? ['--only', only] : []),
  ...['--seeds', String(seeds)],
  ...(strict ? ['--strict'] : []),
]

const runLimited = (/** @type {string} */ path, /** @type {string[]} */ args) =>
  runProgram('timeout', ['-s', 'KILL', String(secondsAtMost), path, ...args])

/** The programs as they are, and each way in which the list runs them: all green. */
async function checkBaseline(/** @type {EmulatedBuild} */ build, /** @type {Mutant[]} */ mutants) {
  await build.archive()
  await runAll([...new Set(mutants.map(({ program }) => program))], jobs, (program) => build.program(program))
  const ways = new Map(mutants.map((mutant) => [JSON.stringify([mutant.program, argumentsOf(mutant)]), mutant]))
  await runAll([...ways.values()], jobs, async (mutant) => {
    const { problems } = await runLimited(join(build.folder, mutant.program), argumentsOf(mutant))
    if (problems.length === 0) return
    const command = [mutant.program, ...argumentsOf(mutant)].join(' ')
    throw new ScriptError('E_MUTANT', `without a bug '${command}' is red:\n${problems.join('\n')}`)
  })
}

/** What the program says of the bug: '' when nothing. */
async function tryMutant(
  /** @type {EmulatedBuild} */ build,
  /** @type {Mutant} */ mutant,
  /** @type {number} */ index,
) {
  const path = join(build.folder, `mutant-${index}`)
  await build.program(mutant.program, new Map([[mutant.file, plant(mutant)]]), path)
  const { problems } = await runLimited(path, argumentsOf(mutant))
  return problems.length === 0 ? '' : (problems[0].split('\n')[1] ?? problems[0]).trim()
}

await runMain(import.meta, 'mutate-cuda', async () => {
  const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } })
  /** @type {Mutant[]} */
  const all = JSON.parse(readFileSync(join(root, 'test/native/cuda/mutants.json'), 'utf8'))
  const mutants = all.filter(({ file, program, why }) => `${file} ${program} ${why}`.includes(values.only))
  if (mutants.length === 0) throw new ScriptError('E_MUTANT', `no entry contains '${values.only}'`)
  for (const mutant of mutants) plant(mutant)
  run('cmake', ['--build', join(root, 'build', 'cmake'), '--target', 'fedlora_book', 'fedlora_engine'], { quiet: true })
  const build = new EmulatedBuild('mutants', ['-O1'])
  await checkBaseline(build, mutants)
  const started = performance.now()
  const said = await runAll(mutants, jobs, (mutant, index) => tryMutant(build, mutant, index))
  let wrong = 0
  for (const [index, { file, why, alive = false }] of mutants.entries()) {
    const seen = said[index] !== ''
    if (seen === alive) wrong += 1
    const verdict = seen ? 'red  ' : 'alive'
    const mark = seen === alive ? 'NOT AS IT MUST BE: ' : ''
    console.log(
      `${verdict} ${mark}${file.split('/').at(-1)}: ${why}${seen ? `\n        ${said[index].slice(0, 160)}` : ''}`,
    )
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  if (wrong > 0) throw new ScriptError('E_MUTANT', `${wrong} of ${mutants.length} mutants are not as they must be`)
  const planted = mutants.filter(({ alive }) => !alive).length
  console.log(
    `mutate-cuda: ${planted} bugs, each seen; ${mutants.length - planted} changes without effect, not seen; ${seconds} s`,
  )
})
