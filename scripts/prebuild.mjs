#!/usr/bin/env node
// Writes the prebuilt binary of this platform where node-gyp-build looks for it in an installed package:
//   prebuilds/<platform>-<arch>/fedlora[.glibc|.musl].node
// Stripped of everything but the exported symbols. Says which glibc it needs, because that decides where it loads.
//
// Usage: node scripts/prebuild.mjs    (after setup.mjs; `npm run prebuild` does both)
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { addon } from './build-native.mjs'
import { probe, root, run, runMain, ScriptError } from './lib/project.mjs'

/** node-gyp-build's tag for the C library: Linux alone has several. */
export function libcTag() {
  if (process.platform !== 'linux') return ''
  const { header } = /** @type {any} */ (process.report.getReport())
  return header.glibcVersionRuntime ? '.glibc' : '.musl'
}

/** The newest GLIBC_x.y symbol version that a binary asks for, or undefined when objdump is not there. */
export function glibcFloor(file) {
  const symbols = probe('objdump', ['-T', file])
  const versions = [...(symbols ?? '').matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [
    Number(major),
    Number(minor),
  ])
  return versions
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .at(-1)
    ?.join('.')
}

await runMain(import.meta, 'prebuild', () => {
  if (!existsSync(addon)) throw new ScriptError('E_BUILD', `${addon} is missing; run \`npm run build\` first`)
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `fedlora${libcTag()}.node`)
  copyFileSync(addon, file)
  run('strip', [process.platform === 'darwin' ? '-Sx' : '--strip-all', file])
  chmodSync(file, 0o644)
  const floor = glibcFloor(file)
  const size = (statSync(file).size / 1e6).toFixed(2)
  console.log(`prebuild: ${relative(root, file)}, ${size} MB${floor ? `, needs glibc ${floor} or newer` : ''}`)
})
