#!/usr/bin/env node
// Builds the native tests with AddressSanitizer and UndefinedBehaviorSanitizer in build/asan and runs them all.
//
// Usage: node scripts/sanitize.mjs [--only TEXT]    (programs whose name contains TEXT)
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { findPrograms, runAll, runProgram } from './lib/native-programs.mjs'
import { jobs, listFiles, root, run, runMain, ScriptError } from './lib/project.mjs'
import { checkToolchain, generator } from './lib/toolchain.mjs'

const tree = join(root, 'build', 'asan')
// -O1 keeps the build short and the reports readable; assertions are on, because this type does not define NDEBUG.
const options = [
  '-DFEDLORA_SANITIZE=ON',
  '-DFEDLORA_TESTS=ON',
  '-DFEDLORA_ADDON=OFF',
  '-DCMAKE_BUILD_TYPE=Sanitize',
  '-DCMAKE_CXX_FLAGS_SANITIZE=-O1',
]
const environment = {
  ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
}

/** A sanitizer that finds nothing in a program with a defect is not at work. */
async function proveThatTheyLook() {
  const canary = join(tree, 'tests', 'canary_sanitizer')
  const { problems, errors } = await runProgram(canary, ['none'], environment)
  if (problems.length > 0)
    throw new ScriptError('E_SANITIZE', `the sound canary fails:\n${problems.join('\n')}\n${errors}`)
  for (const defect of ['overflow', 'undefined', 'leak']) {
    const { problems } = await runProgram(canary, [defect], environment)
    if (problems.length === 0)
      throw new ScriptError('E_SANITIZE', `the defect '${defect}' was not found: the sanitizers do not look`)
  }
}

await runMain(import.meta, 'sanitize', async () => {
  const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } })
  checkToolchain()
  run('cmake', ['-G', generator(), '-S', root, '-B', tree, ...options], { quiet: true })
  const wanted = listFiles('test/native', /^test_.*\.cpp$/)
    .filter((file) => !file.startsWith('test/native/cuda/'))
    .map((file) => basename(file, '.cpp'))
    .filter((name) => name.includes(values.only))
  if (wanted.length === 0) throw new ScriptError('E_SANITIZE', `no program's name contains '${values.only}'`)
  run('cmake', ['--build', tree, '--parallel', String(jobs), '--target', 'canary_sanitizer', ...wanted])
  const programs = findPrograms(join(tree, 'tests')).filter(({ name }) => wanted.includes(name))
  await proveThatTheyLook()
  let failed = 0
  await runAll(programs, jobs, async ({ name, path }) => {
    const start = performance.now()
    const { cases, problems, errors } = await runProgram(path, [], environment)
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    if (problems.length === 0) {
      console.log(`sanitize: ${name}: ${cases.length} cases clean in ${seconds} s`)
      return
    }
    failed += 1
    console.error(`sanitize: ${name} FAILED after ${seconds} s\n${problems.join('\n')}\n${errors}`)
  })
  if (failed > 0) throw new ScriptError('E_SANITIZE', `${failed} of ${programs.length} programs failed`)
  console.log(`sanitize: ${programs.length} programs, no finding`)
})
