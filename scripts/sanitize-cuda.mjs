#!/usr/bin/env node
// Runs the tests of CUDA kernels in the emulator under ThreadSanitizer, which knows the threads of a block as threads (races in shared and
// global memory, within and between blocks), and under AddressSanitizer with the alignment check. One order of threads, the first shapes
// of each case. Needs the native tests built (setup.mjs --tests).
//
// Usage: node scripts/sanitize-cuda.mjs [--only TEXT]    (programs whose name contains TEXT)
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { EmulatedBuild } from './lib/emulated-build.mjs'
import { runAll, runProgram } from './lib/native-programs.mjs'
import { jobs, root, run, runMain, ScriptError } from './lib/project.mjs'

const common = ['-O1', '-g', '-fno-omit-frame-pointer']
const address = ['-fsanitize=address,alignment', '-fno-sanitize-recover=alignment']
/**
 * What is compiled how, what it is told, and what it must find (the defects of canary_cuda.cpp).
 * @type {{ name: string, flags: string[], emulatorFlags: string[], env: Record<string, string>, defects: string[] }[]}
 */
const sanitizers = [
  {
    name: 'thread',
    flags: [...common, '-fsanitize=thread'],
    emulatorFlags: [...common, '-DEMULATOR_TSAN=1'],
    env: { TSAN_OPTIONS: `suppressions=${join(root, 'test/native/cuda/emulator/tsan.supp')} report_thread_leaks=0` },
    defects: ['missing_barrier', 'missing_syncwarp', 'two_blocks'],
  },
  {
    name: 'address',
    flags: [...common, ...address],
    emulatorFlags: [...common, '-DEMULATOR_ASAN=1'],
    env: { ASAN_OPTIONS: 'detect_leaks=0' },
    defects: ['overrun', 'shared_overrun', 'local_overrun', 'misaligned'],
  },
]

/** Programs that no sanitizer runs, and why. @type {Record<string, string>} */
const leftOut = {
  test_cuda_emulator: 'full of kernels that are wrong on purpose',
  test_cuda_model: 'whole models take more than five minutes; their operators have programs of their own',
}

/** ThreadSanitizer wants memory where it expects it: without randomised addresses. */
const start = (/** @type {string} */ path, /** @type {string[]} */ args, /** @type {Record<string, string>} */ env) =>
  runProgram('setarch', ['-R', path, ...args], env)

/** A sanitizer that finds nothing in a kernel with a defect is not at work. */
async function proveThatItLooks(
  /** @type {EmulatedBuild} */ build,
  /** @type {typeof sanitizers[number]} */ { name, env, defects },
) {
  const canary = await build.program('canary_cuda')
  const { problems, errors } = await start(canary, ['none'], env)
  if (problems.length > 0)
    throw new ScriptError('E_SANITIZE', `${name}: the sound canary fails: ${problems.join(' ')}\n${errors}`)
  for (const defect of defects) {
    const { problems, errors } = await start(canary, [defect], env)
    if (problems.length === 0 || !/ERROR: AddressSanitizer|WARNING: ThreadSanitizer|runtime error/.test(errors))
      throw new ScriptError(
        'E_SANITIZE',
        `${name}: the defect '${defect}' was not found: the sanitizer does not look\n${errors}`,
      )
  }
}

await runMain(import.meta, 'sanitize-cuda', async () => {
  const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } })
  run('cmake', ['--build', join(root, 'build', 'cmake'), '--target', 'fedlora_book', 'fedlora_engine'], { quiet: true })
  let failed = 0
  for (const sanitizer of sanitizers) {
    const build = new EmulatedBuild(sanitizer.name, sanitizer.flags, sanitizer.emulatorFlags)
    for (const [name, why] of Object.entries(leftOut))
      console.log(`sanitize-cuda: ${sanitizer.name}: ${name} skipped: ${why}`)
    const programs = build.programs().filter((name) => !(name in leftOut) && name.includes(values.only))
    if (programs.length === 0) throw new ScriptError('E_SANITIZE', `no program's name contains '${values.only}'`)
    await build.archive()
    await proveThatItLooks(build, sanitizer)
    await runAll(programs, jobs, async (name) => {
      const path = await build.program(name)
      const began = performance.now()
      const { cases, problems, errors } = await start(path, ['--seeds', '1', '--small'], sanitizer.env)
      const seconds = ((performance.now() - began) / 1000).toFixed(1)
      if (problems.length === 0) {
        console.log(`sanitize-cuda: ${sanitizer.name}: ${name}: ${cases.length} cases clean in ${seconds} s`)
        return
      }
      failed += 1
      const particulars = `${problems.join('\n')}\n${errors.slice(0, 6000)}`
      console.error(`sanitize-cuda: ${sanitizer.name}: ${name} FAILED after ${seconds} s\n${particulars}`)
    })
  }
  if (failed > 0) throw new ScriptError('E_SANITIZE', `${failed} runs failed`)
  console.log('sanitize-cuda: no finding')
})
