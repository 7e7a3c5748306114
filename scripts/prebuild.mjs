#!/usr/bin/env node
// Writes prebuilt binaries where the loader looks for them in an installed package: prebuilds/<platform>-<arch>/fedlora[.glibc|.musl].node
//
// Usage: node scripts/prebuild.mjs                  the addon that setup.mjs built, for this platform (`npm run prebuild` does both)
//        node scripts/prebuild.mjs --target NAME    one of scripts/lib/targets.mjs, cross-compiled by zig on a Linux x64 machine
//        node scripts/prebuild.mjs --all            all of them, one after the other: about five minutes each from nothing
//   --verify   builds each a second time, from nothing and in another folder: the bytes must be equal
// Each is checked before it is kept: what it needs and exports, oldest system, signature, paths, size; on Linux x64 the instructions of its
// kernels too.
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseBinary } from '../dist/native/binary.js'
import { thisMachine } from '../dist/native/choice.js'
import { addon } from './build-native.mjs'
import { checkTree } from './check-instructions.mjs'
import { judgeBinary } from './lib/judge-binary.mjs'
import { jobs, root, run, runMain, ScriptError } from './lib/project.mjs'
import { prebuiltFile, target, targets } from './lib/targets.mjs'
import { zigTree } from './lib/zig.mjs'
import { writeSbom } from './write-sbom.mjs'

/** This machine as a target, built by its own compiler; it may be another than the published ones. */
function thisTarget() {
  const { platform, arch, libc } = thisMachine()
  return target([platform, arch, ...(libc === null ? [] : [libc])].join('-'), 'system')
}

/**
 * The addon of a target, by zig; with a suffix in another folder, from nothing.
 * @param {import('./lib/targets.mjs').Target} target
 */
function crossBuild(target, suffix = '') {
  const tree = zigTree(target, suffix)
  run('cmake', ['--build', tree, '--target', 'fedlora', '--parallel', String(jobs)], { quiet: true })
  return join(tree, 'fedlora.node')
}

const sha256 = (file) => createHash('sha256').update(readFileSync(file)).digest('hex')

/** Strips what this machine's compiler built: zig's linker does that itself. */
function systemBuild() {
  if (!existsSync(addon)) throw new ScriptError('E_BUILD', `${addon} is missing; run \`npm run build\` first`)
  const file = join(root, 'build', 'fedlora.stripped.node')
  copyFileSync(addon, file)
  run('strip', [process.platform === 'darwin' ? '-Sx' : '--strip-all', file])
  return file
}

/** @param {import('./lib/targets.mjs').Target} target */
function prebuild(target, verify) {
  const start = performance.now()
  const built = target.compiler === 'zig' ? crossBuild(target) : systemBuild()
  if (verify) {
    const again = crossBuild(target, '-again')
    if (sha256(again) !== sha256(built))
      throw new ScriptError('E_PREBUILD', `${target.name}: a second build has other bytes: ${built}, ${again}`)
  }
  const bytes = readFileSync(built)
  // objdump of a Linux x64 machine reads these objects; other systems' are compiled with the same options.
  const readable = target.compiler === 'zig' && target.platform === 'linux' && target.arch === 'x64'
  const problems = [...judgeBinary(target, bytes), ...(readable ? checkTree(dirname(built)).problems : [])]
  if (problems.length > 0) throw new ScriptError('E_PREBUILD', `${target.name}: ${built}\n  ${problems.join('\n  ')}`)
  const file = join(root, prebuiltFile(target))
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, bytes)
  chmodSync(file, 0o644)
  const floor = parseBinary(bytes)?.glibcFloor
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  console.log(
    `prebuild: ${prebuiltFile(target)}, ${(bytes.length / 1e6).toFixed(2)} MB${floor ? `, glibc ${floor} or newer` : ''}, ` +
      `sha256 ${sha256(file)}, ${seconds} s${verify ? ', two builds with equal bytes' : ''}`,
  )
}

/**
 * What the options ask for; refuses what cannot be had.
 * @param {{ all?: boolean, target?: string, verify?: boolean }} options
 * @param {import('./lib/targets.mjs').Target} here
 */
export function chosenTargets({ all = false, target: name, verify = false }, here) {
  if (all && name !== undefined)
    throw new ScriptError('E_ARGUMENT', `--all has --target ${name} in it: leave one of them out`)
  if (!all && name === undefined) {
    if (verify) throw new ScriptError('E_ARGUMENT', '--verify is for what zig builds: say --all, or which --target')
    return [here]
  }
  const chosen = all ? targets : targets.filter((target) => target.name === name)
  if (chosen.length === 0) {
    const known = targets.map((target) => target.name).join(', ')
    throw new ScriptError('E_ARGUMENT', `--target ${name} is unknown; there are ${known}`)
  }
  if (here.platform !== 'linux' || here.arch !== 'x64')
    throw new ScriptError('E_TOOL', `binaries of other platforms are built on Linux x64, and this is ${here.name}`)
  return chosen
}

await runMain(import.meta, 'prebuild', () => {
  const { values } = parseArgs({
    options: { target: { type: 'string' }, all: { type: 'boolean' }, verify: { type: 'boolean' } },
  })
  const here = thisTarget()
  const chosen = chosenTargets(values, here)
  if (values.all) rmSync(join(root, 'prebuilds'), { recursive: true, force: true })
  else if (chosen[0] === here) rmSync(dirname(join(root, prebuiltFile(here))), { recursive: true, force: true })
  for (const target of chosen) prebuild(target, values.verify)
  if (values.all) writeSbom()
})
