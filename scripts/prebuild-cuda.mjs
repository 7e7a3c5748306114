#!/usr/bin/env node
// Makes the package @fedlora/cuda-linux-x64, ready for `npm publish`, in build/cuda-package/: the CUDA library of this checkout and nothing else.
//
// It is a package of its own, which whoever has a GPU installs beside fedlora (`npm install @fedlora/cuda-linux-x64`); fedlora finds it, and
// the fingerprint of the contract in the library says whether the two fit. fedlora names it neither as a dependency nor as an optional one:
// npm would fetch megabytes for everybody on Linux, and `npm ci` would fail wherever the registry lacks a version.
//
// Usage: node scripts/prebuild-cuda.mjs    (after build-cuda.mjs)
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseBinary } from '../dist/native/binary.js'
import { cudaLibrary } from './build-cuda.mjs'
import { root, run, runMain, ScriptError } from './lib/project.mjs'

export const cudaPackage = join(root, 'build', 'cuda-package')

/** The package.json, from fedlora's own. */
export function cudaManifest({ version, license, repository, homepage, bugs }) {
  return {
    name: '@fedlora/cuda-linux-x64',
    version,
    description: 'The CUDA library of fedlora: models on NVIDIA GPUs (Linux, x86-64)',
    license,
    repository,
    homepage,
    bugs,
    os: ['linux'],
    cpu: ['x64'],
    libc: ['glibc'],
    files: ['libfedlora_cuda.so'],
    exports: { './package.json': './package.json' },
    publishConfig: { access: 'public' },
  }
}

export function makeCudaPackage() {
  if (!existsSync(cudaLibrary))
    throw new ScriptError('E_BUILD', `${cudaLibrary} is missing; run \`node scripts/build-cuda.mjs\` first`)
  rmSync(cudaPackage, { recursive: true, force: true })
  mkdirSync(cudaPackage, { recursive: true })
  const file = join(cudaPackage, 'libfedlora_cuda.so')
  copyFileSync(cudaLibrary, file)
  run('strip', ['--strip-unneeded', file])
  const manifest = cudaManifest(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))
  writeFileSync(join(cudaPackage, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
  copyFileSync(join(root, 'LICENSE'), join(cudaPackage, 'LICENSE'))
  const words = `# ${manifest.name}\n\n${manifest.description}. Install it beside [fedlora](${manifest.homepage}), of the same version.\n`
  writeFileSync(join(cudaPackage, 'README.md'), words)
  return file
}

await runMain(import.meta, 'prebuild-cuda', () => {
  const file = makeCudaPackage()
  const floor = parseBinary(readFileSync(file))?.glibcFloor
  const size = (statSync(file).size / 1e6).toFixed(2)
  console.log(`prebuild-cuda: ${relative(root, file)}, ${size} MB${floor ? `, needs glibc ${floor} or newer` : ''}`)
})
