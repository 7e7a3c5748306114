#!/usr/bin/env node
// Writes prebuilt binaries where the loader looks for them in an installed package: prebuilds/<platform>-<arch>/fedlora[.glibc|.musl].node
//
// Usage: node scripts/prebuild.mjs                  the addon that setup.mjs built, for this platform (`npm run prebuild` does both)
//        node scripts/prebuild.mjs --target NAME    one of scripts/lib/targets.mjs, cross-compiled by zig on a Linux x64 machine
//        node scripts/prebuild.mjs --all            all of them, one after the other: two minutes of one core each
//   --verify   builds each a second time, from nothing and in another folder: the bytes must be equal
// Each is checked before it is kept: what it needs and exports, oldest system, signature, paths, size.
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { addon } from './build-native.mjs'
import { jobs, root, run, runMain, ScriptError } from './lib/project.mjs'
import { prebuiltFile, target, targets } from './lib/targets.mjs'
import { hasNinja } from './lib/toolchain.mjs'
import { zigToolchain } from './lib/zig.mjs'
import { writeSbom } from './write-sbom.mjs'

/** node-gyp-build's tag for the C library of the running Node: Linux alone has several. */
export function libcTag() {
  if (process.platform !== 'linux') return ''
  const { header } = /** @type {any} */ (process.report.getReport())
  return header.glibcVersionRuntime ? '.glibc' : '.musl'
}

/** This machine as a target, built by its own compiler; it may be another than the published ones. */
const thisTarget = () => target([process.platform, process.arch].join('-') + libcTag().replace('.', '-'), 'system')

/**
 * The addon of a target in a CMake tree of its own, whose path it returns.
 * @param {import('./lib/targets.mjs').Target} target
 */
function crossBuild(target, suffix = '') {
  const tree = join(root, 'build', 'zig', target.name, `cmake${suffix}`)
  const generator = hasNinja() ? 'Ninja' : 'Unix Makefiles'
  const toolchain = `-DCMAKE_TOOLCHAIN_FILE=${zigToolchain(target)}`
  if (suffix !== '') rmSync(tree, { recursive: true, force: true })
  run('cmake', ['-S', root, '-B', tree, '-G', generator, '-DCMAKE_BUILD_TYPE=Release', toolchain], { quiet: true })
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
async function prebuild(target, verify) {
  const start = performance.now()
  const built = target.compiler === 'zig' ? crossBuild(target) : systemBuild()
  if (verify && target.compiler === 'zig') {
    const again = crossBuild(target, '-again')
    if (sha256(again) !== sha256(built))
      throw new ScriptError('E_PREBUILD', `${target.name}: a second build has other bytes: ${built}, ${again}`)
  }
  const { judgeBinary } = await import('./lib/judge-binary.mjs')
  const bytes = readFileSync(built)
  const problems = judgeBinary(target, bytes)
  if (problems.length > 0) throw new ScriptError('E_PREBUILD', `${target.name}: ${built}\n  ${problems.join('\n  ')}`)
  const file = join(root, prebuiltFile(target))
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, bytes)
  chmodSync(file, 0o644)
  const { parseBinary } = await import('../dist/native/binary.js')
  const floor = parseBinary(bytes)?.glibcFloor
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  console.log(
    `prebuild: ${prebuiltFile(target)}, ${(bytes.length / 1e6).toFixed(2)} MB${floor ? `, glibc ${floor} or newer` : ''}, ` +
      `sha256 ${sha256(file)}, ${seconds} s${verify ? ', two builds with equal bytes' : ''}`,
  )
}

await runMain(import.meta, 'prebuild', async () => {
  const { values } = parseArgs({
    options: { target: { type: 'string' }, all: { type: 'boolean' }, verify: { type: 'boolean' } },
  })
  const here = thisTarget()
  const chosen = values.all ? targets : targets.filter(({ name }) => name === values.target)
  if (values.target !== undefined && chosen.length === 0)
    throw new ScriptError(
      'E_ARGUMENT',
      `--target ${values.target} is unknown; there are ${targets.map(({ name }) => name).join(', ')}`,
    )
  if (chosen.length > 0 && here.name !== 'linux-x64-glibc' && here.name !== 'linux-x64-musl')
    throw new ScriptError('E_TOOL', `binaries of other platforms are built on Linux x64, and this is ${here.name}`)
  if (chosen.length === 0)
    rmSync(join(root, 'prebuilds', `${here.platform}-${here.arch}`), { recursive: true, force: true })
  if (values.all) rmSync(join(root, 'prebuilds'), { recursive: true, force: true })
  for (const target of chosen.length > 0 ? chosen : [here]) await prebuild(target, values.verify)
  if (values.all) writeSbom()
})
