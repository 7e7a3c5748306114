#!/usr/bin/env node
// Builds the CUDA library, which the addon opens where a model is loaded with a CUDA device:
//   build/cuda/                             the CMake tree, apart from the addon's
//   build/Release/libfedlora_cuda.so        the library, where it is looked for first
// No other script calls it: `npm run build` neither needs the CUDA toolkit nor takes longer where there is one. A GPU is not needed either.
//
// Usage: node scripts/build-cuda.mjs [--code 90a]    (--code: compute capabilities to compile for, by commas; default 80,89,90a and PTX)
import { copyFileSync, existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { jobs, root, run, runMain, ScriptError } from './lib/project.mjs'
import { checkCuda, checkToolchain, generator } from './lib/toolchain.mjs'

export const cudaTree = join(root, 'build', 'cuda')
export const cudaLibrary = join(root, 'build', 'Release', 'libfedlora_cuda.so')

export function buildCuda({ code = '80,89,90a' } = {}) {
  checkToolchain()
  const nvcc = checkCuda()
  const options = ['-DFEDLORA_CUDA=ON', '-DFEDLORA_ADDON=OFF', `-DFEDLORA_NVCC=${nvcc}`, '-DCMAKE_BUILD_TYPE=Release']
  const codes = `-DFEDLORA_CUDA_CODE=${code.replaceAll(',', ';')}`
  run('cmake', ['-G', generator(), '-S', root, '-B', cudaTree, ...options, codes], { quiet: true })
  run('cmake', ['--build', cudaTree, '--target', 'fedlora_cuda', '--parallel', String(jobs)])
  const built = join(cudaTree, 'Release', 'libfedlora_cuda.so')
  if (!existsSync(built)) throw new ScriptError('E_BUILD', `CMake left no ${built}`)
  mkdirSync(dirname(cudaLibrary), { recursive: true })
  // Renamed into place: a process that has the old library mapped keeps it.
  copyFileSync(built, `${cudaLibrary}.new`)
  renameSync(`${cudaLibrary}.new`, cudaLibrary)
}

await runMain(import.meta, 'build-cuda', () => {
  const { values } = parseArgs({ options: { code: { type: 'string' } } })
  buildCuda(values)
  console.log(`build-cuda: ${relative(root, cudaLibrary)}, ${(statSync(cudaLibrary).size / 1e6).toFixed(2)} MB`)
})
