#!/usr/bin/env node
// Builds the addon, and with --tests the native test programs, in one CMake tree, so that the engine is compiled once:
//   build/cmake/                 the CMake tree; Node-API headers come from their npm package, nothing from the network
//   build/Release/fedlora.node   the addon, where node-gyp-build looks first
//   build/cmake/tests/test_*     the test programs
//
// Usage: node scripts/build-native.mjs [--tests] [--dest DIRECTORY] [--clean]
//   --clean   removes the CMake tree afterwards: `fedlora build` leaves nothing but the addon in an installed package
// binding.gyp calls it with --dest; npm scripts go through setup.mjs, which knows whether anything is stale. In a checkout
// cmake-js drives CMake; where it is not installed (a package from npm) CMake is called itself, which is the same build on Unix.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { findPrograms } from './lib/native-programs.mjs'
import { jobs, packageProgram, root, run, runMain, ScriptError } from './lib/project.mjs'
import { checkToolchain, generator } from './lib/toolchain.mjs'

export const tree = join(root, 'build', 'cmake')
export const addon = join(root, 'build', 'Release', 'fedlora.node')
export const testPrograms = join(tree, 'tests')

/** A tree that was configured for another folder or another generator cannot be continued. */
function dropForeignTree() {
  const cacheFile = join(tree, 'CMakeCache.txt')
  if (!existsSync(cacheFile)) return
  const cache = readFileSync(cacheFile, 'utf8')
  const value = (name) => new RegExp(`^${name}:\\w+=(.*)$`, 'm').exec(cache)?.[1]
  if (value('CMAKE_HOME_DIRECTORY') !== root || value('CMAKE_GENERATOR') !== generator()) {
    rmSync(tree, { recursive: true })
  }
}

/** Removes test programs whose source is gone: CMake leaves them where they are. */
function dropOrphans() {
  for (const { name, path } of findPrograms(testPrograms)) {
    if (!existsSync(join(root, 'test', 'native', `${name}.cpp`))) rmSync(path)
  }
}

function byCmakeJs(tests, env) {
  const [node, cmakeJs] = packageProgram('cmake-js')
  const common = ['-l', 'error', '-B', 'Release', '--out', tree]
  // Once on, the tests stay configured: switching them off would make CMake forget what is built.
  run(node, [cmakeJs, 'configure', ...common, ...(tests ? ['--CDFEDLORA_TESTS=ON'] : [])], { env, quiet: true })
  dropOrphans()
  run(node, [cmakeJs, 'build', ...common, ...(tests ? [] : ['-T', 'fedlora']), '-p', String(jobs)], { env })
}

function byCmake(env) {
  const output = `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${join(tree, 'Release')}`
  run('cmake', ['-S', root, '-B', tree, '-G', generator(), '-DCMAKE_BUILD_TYPE=Release', output], { env, quiet: true })
  run('cmake', ['--build', tree, '--target', 'fedlora', '--parallel', String(jobs)], { env })
}

export function buildNative({ tests = false, destination = addon, clean = false } = {}) {
  checkToolchain()
  dropForeignTree()
  // A surrounding make (node-gyp) leaves its job server in these, which is not ours to use.
  const { MAKEFLAGS: _flags, MFLAGS: _mflags, MAKELEVEL: _level, ...env } = process.env
  if (existsSync(join(root, 'node_modules', 'cmake-js'))) byCmakeJs(tests, env)
  else byCmake(env)

  const built = join(tree, 'Release', 'fedlora.node')
  if (!existsSync(built)) throw new ScriptError('E_BUILD', `CMake left no ${built}`)
  mkdirSync(join(destination, '..'), { recursive: true })
  // Renamed into place: a process that has the old addon mapped keeps it.
  copyFileSync(built, `${destination}.new`)
  renameSync(`${destination}.new`, destination)
  if (clean) rmSync(tree, { recursive: true, force: true })
}

await runMain(import.meta, 'build-native', () => {
  const { values } = parseArgs({
    options: { tests: { type: 'boolean' }, dest: { type: 'string' }, clean: { type: 'boolean' } },
  })
  buildNative({
    tests: values.tests,
    clean: values.clean,
    destination: values.dest === undefined ? addon : resolve(values.dest, 'fedlora.node'),
  })
})
