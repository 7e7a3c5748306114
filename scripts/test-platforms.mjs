#!/usr/bin/env node
// Platforms that this machine is not, each in an emulator. First the package with the binaries in prebuilds/, as try-platforms.mjs tries it: x64 with
// musl, Windows, arm64 with glibc and musl. Then the native tests of arm64, cross-compiled by zig: kernels, codecs and golden models as each of its
// processors, so that every instruction-set level is judged by the book, the others as the weakest. What has not ended after the given
// minutes counts as failed. Twenty do for the package and these where two cores have nothing else to do and the programs are built.
//
// Usage: node scripts/test-platforms.mjs [--fast | --whole] [--only TEXT] [--minutes 20]
//   --fast     of the native tests the programs of kernels and codecs and the golden models: a few minutes
//   --whole    every program as each processor: give it an hour
//   --only     the native programs whose name contains TEXT, as each processor, and not the package
// What is missing is installed when this is root on a Debian (qemu-user-static, wine, …), and named otherwise.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { emulators, endAfter, needPrograms } from './lib/emulators.mjs'
import { findPrograms, runAll, runProgram } from './lib/native-programs.mjs'
import { jobs, listFiles, run, runMain, ScriptError } from './lib/project.mjs'
import { targets } from './lib/targets.mjs'
import { zigTree } from './lib/zig.mjs'
import { tryPlatforms } from './try-platforms.mjs'

/** Programs that reach kernels of a level, or what is compiled anew for another architecture; slowest first. */
const fast = [
  'test_backend_attention',
  'test_model_golden',
  'test_noise',
  'test_masking',
  'test_compression_kernels',
  'test_factors_dense',
  'test_backend_decode',
  'test_backend_cross_entropy',
  'test_backend_optimizer',
  'test_backend_soft_cap',
  'test_backend_glu',
  'test_backend_rows',
  'test_backend_residual',
  'test_backend_layer_norm',
  'test_backend_rms_norm',
  'test_backend_rope',
  'test_kernels_gemm',
  'test_compression_wire',
  'test_base',
  'test_kernels_dispatch',
]

/** It judges every level that its processor has, in minutes; as the weakest its kernels are run by the golden models. */
const asStrongest = 'test_backend_attention'

/** Every operator of every family throws in turn: minutes for what is the same on every processor. */
const patient = 'test_model_pass'

/** These bring nothing that another architecture could break, or ask for what an emulator has not. */
const elsewhere = /^test_(backend_cuda_loading|aggregation_memory|model_memory)$/

/** Names of the programs to run, in their order. */
function chosenPrograms(only, fastAlone) {
  const all = listFiles('test/native', /^test_.*\.cpp$/)
    .filter((file) => !file.includes('/cuda/'))
    .map((file) => file.replace(/^.*\/(.*)\.cpp$/, '$1'))
    .filter((name) => !elsewhere.test(name))
  const rest = fastAlone ? [] : all.filter((name) => !fast.includes(name))
  return [...fast.filter((name) => all.includes(name)), ...rest].filter((name) => name.includes(only))
}

/** The programs of these names; with `all`, everything is built that a developer on such a machine builds. */
function build(target, names, all) {
  const tree = zigTree(target, '', ['-DFEDLORA_TESTS=ON'])
  run('cmake', ['--build', tree, '--parallel', String(jobs), ...(all ? [] : ['--target', ...names])])
  const built = findPrograms(join(tree, 'tests'))
  return names.map((name) => {
    const program = built.find((one) => one.name === name)
    if (program === undefined) throw new ScriptError('E_PLATFORM', `${name} was not built in ${tree}`)
    return program
  })
}

/** Processors, weakest first: each must be found to have its own level, and be refused those of the stronger ones. */
async function proveLevels(start, processors, program) {
  for (const [index, { name, level }] of processors.entries()) {
    const { problems } = await start(name, program, { FEDLORA_ISA: level })
    if (problems.length > 0)
      throw new ScriptError('E_PLATFORM', `${name} is not found to have ${level}:\n${problems.join('\n')}`)
    for (const { level: beyond } of processors.slice(index + 1)) {
      const { problems } = await start(name, program, { FEDLORA_ISA: beyond })
      if (!/E_ISA/.test(problems.join('\n')))
        throw new ScriptError('E_PLATFORM', `${name} lacks ${beyond}, and is not refused it with E_ISA`)
    }
  }
}

/**
 * The runs of programs, in their order: which program as which processor. `each`: every program as each processor.
 * @param {{ name: string, path?: string }[]} programs
 * @param {{ name: string, level: string }[]} processors weakest first
 * @param {boolean} each
 */
export function plan(programs, processors, each) {
  const processorsOf = (/** @type {string} */ name) => {
    if (each) return processors
    if (name === asStrongest) return processors.slice(-1)
    if (name === patient) return []
    return fast.includes(name) ? processors : processors.slice(0, 1)
  }
  return programs.flatMap((program) => processorsOf(program.name).map((cpu) => ({ program, cpu })))
}

async function test(target, { names, all, each }, end) {
  const emulator = emulators[target.name]
  needPrograms(emulator.needs)
  const programs = build(target, names, all)
  const start = (cpu, { path }, env = {}) => {
    const left = Math.max(1, Math.round(end - performance.now()))
    return runProgram(emulator.program, [...emulator.arguments, '-cpu', cpu, path], env, left)
  }
  const asksForLevel = programs.find(({ name }) => name === 'test_compression_wire')
  if (asksForLevel) await proveLevels(start, emulator.processors, asksForLevel)

  const runs = plan(programs, emulator.processors, each)
  for (const { name } of programs.filter((one) => !runs.some(({ program }) => program === one)))
    console.log(`platforms: ${target.name}: ${name} is run with --whole only`)
  let failed = 0
  let late = 0
  let cases = 0
  await runAll(runs, jobs, async ({ program, cpu }) => {
    if (performance.now() >= end) {
      late += 1
      return
    }
    const begin = performance.now()
    const result = await start(cpu.name, program)
    const seconds = ((performance.now() - begin) / 1000).toFixed(0)
    const what = `${target.name} ${cpu.name} (${cpu.level}) ${program.name}`
    cases += result.cases.length
    if (result.problems.length === 0) console.log(`platforms: ${what}: ${result.cases.length} cases, ${seconds} s`)
    else if (performance.now() >= end) late += 1
    else {
      failed += 1
      console.error(`platforms: ${what} FAILED after ${seconds} s\n${result.problems.join('\n')}\n${result.errors}`)
    }
  })
  console.log(
    `platforms: ${target.name}: ${runs.length - failed - late} of ${runs.length} runs passed, ${cases} cases, ${failed} failed, ${late} not ended in time`,
  )
  return { failed, late }
}

await runMain(import.meta, 'test-platforms', async () => {
  const { values } = parseArgs({
    options: {
      fast: { type: 'boolean', default: false },
      whole: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      minutes: { type: 'string', default: '20' },
    },
  })
  const { fast: fastAlone, whole, only, minutes } = values
  if (fastAlone && whole) throw new ScriptError('E_ARGUMENT', '--fast and --whole: expected one of them')
  const names = chosenPrograms(only, fastAlone)
  if (names.length === 0) throw new ScriptError('E_ARGUMENT', `--only ${only}: no program's name contains it`)
  const end = endAfter(minutes)
  const choice = { names, all: only === '' && !fastAlone, each: whole || only !== '' }
  let bad = only === '' ? tryPlatforms({ end }) : 0
  for (const target of targets.filter(({ name }) => name in emulators)) {
    const { failed, late } = await test(target, choice, end)
    bad += failed + late
  }
  if (bad > 0) throw new ScriptError('E_PLATFORM', `${bad} runs failed or did not end within ${minutes} minutes`)
})
