#!/usr/bin/env node
// Judges the CUDA library without a GPU: builds it for every architecture, writes what each kernel takes into bench/results/cuda-kernels.md,
// assembles every function of ptx/, and fails on a spilled register, on a message C75xx of ptxas (wgmma put one after another), on a kernel
// for Hopper's wgmma that holds none, and when the library, opened from Node, is not refused as it should be on a machine without a driver.
// What cannot be looked at here is counted as skipped, with its reason.
//
// Usage: node scripts/check-cuda.mjs [--install]    (after setup.mjs)
//   --install  get NVIDIA's disassembler from PyPI into build/venv when it is not at hand
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildCuda, cudaLibrary, cudaTree } from './build-cuda.mjs'
import { lastJson, listFiles, probe, root, run, runMain, ScriptError } from './lib/project.mjs'
import { kernelTable, readPtxas, shortName, withoutHgmma } from './lib/ptxas-report.mjs'
import { findNvcc } from './lib/toolchain.mjs'

const venv = join(root, 'build', 'venv')
const page = join(root, 'bench', 'results', 'cuda-kernels.md')
/** @type {string[]} */
const problems = []
/** @type {string[]} */
const skipped = []

function demangled(/** @type {string[]} */ names) {
  const texts = names.length === 0 ? '' : (probe('c++filt', names) ?? '')
  const lines = texts.split('\n')
  return new Map(names.map((name, i) => [name, shortName(lines[i] ?? name)]))
}

/** Registers and spills of every kernel, from the words that the compiler left beside each object. */
function checkKernels() {
  const logs = listFiles('native', /\.cu\.o\.log$/, cudaTree).map((file) => readFileSync(join(cudaTree, file), 'utf8'))
  const reports = logs.map(readPtxas)
  const found = reports.flatMap(({ kernels }) => kernels)
  problems.push(...reports.flatMap(({ messages }) => messages))
  const names = demangled([...new Set(found.map(({ kernel }) => kernel))])
  const kernels = found.map((kernel) => ({ ...kernel, kernel: names.get(kernel.kernel) ?? kernel.kernel }))
  for (const { kernel, architecture, spilled } of kernels)
    if (spilled > 0) problems.push(`${kernel} for sm_${architecture} spills ${spilled} bytes`)
  const compiler = /release [\d.]+, V[\d.]+/.exec(probe(findNvcc() ?? 'nvcc', ['--version']) ?? '')?.[0] ?? ''
  const words = `Registers a thread by architecture, as ptxas reports them; bytes of spilled registers, stack and static shared memory (dynamic shared
memory is the launch's). nvcc ${compiler}. Written by \`node scripts/check-cuda.mjs\`.`
  writeFileSync(page, `# Kernels of the CUDA library\n\n${words}\n\n${kernelTable(kernels)}\n`)
  return { kernels: new Set(kernels.map(({ kernel }) => kernel)).size, compiled: kernels.length }
}

/** Every function of ptx/ assembles: the kernels of their tests use each. */
function checkInstructions() {
  const architectures = ['80', '90a'].flatMap((code) => ['-gencode', `arch=compute_${code},code=sm_${code}`])
  const includes = ['native', 'test/native', 'test/native/cuda'].flatMap((folder) => ['-I', folder])
  for (const test of listFiles('test/native/cuda', /^test_cuda_ptx_.*\.cpp$/)) {
    const output = ['-x', 'cu', '-c', test, '-o', join(cudaTree, 'instructions.o')]
    run(findNvcc() ?? 'nvcc', ['-std=c++20', ...architectures, ...includes, ...output], { quiet: true })
  }
}

/** The folder that holds cuobjdump and nvdisasm, or undefined. */
function disassembler(/** @type {boolean} */ install) {
  const folder = listFiles('.', /^cuobjdump$/, venv).map((file) => join(venv, file, '..'))[0]
  if (folder !== undefined) return folder
  if (probe('cuobjdump', ['--version']) !== undefined) return ''
  if (!install) return undefined
  if (!existsSync(join(venv, 'bin', 'pip'))) run('python3', ['-m', 'venv', venv], { quiet: true })
  const packages = ['nvidia-cuda-cuobjdump', 'nvidia-cuda-nvdisasm']
  run(join(venv, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', '--no-deps', ...packages], {
    quiet: true,
  })
  return disassembler(false)
}

/** Every kernel named for Hopper's tensor cores must use them. */
function checkHopper(/** @type {boolean} */ install) {
  const folder = disassembler(install)
  if (folder === undefined) {
    skipped.push('machine code of sm_90a: cuobjdump and nvdisasm are not at hand (--install gets them from PyPI)')
    return
  }
  const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` }
  const sass = run('cuobjdump', ['-sass', '-arch', 'sm_90a', cudaLibrary], { capture: true, env })
  const lacking = withoutHgmma(sass).filter((name) => /WarpgroupEngine|wgmma|gemm_\w*sm90/.test(name))
  for (const name of demangled(lacking).values()) problems.push(`${name} for sm_90a holds no HGMMA`)
}

/** What a user meets who has the library and no driver. */
function checkRefusal() {
  const program = join(root, 'dist', 'cli', 'main.js')
  const env = { ...process.env, FEDLORA_CUDA: cudaLibrary }
  const { cuda } = lastJson(run(process.execPath, [program, 'doctor', '--json'], { capture: true, env }))
  if (cuda.library !== cudaLibrary) problems.push(`the addon does not open the library: ${cuda.code}: ${cuda.problem}`)
  else if (cuda.driver !== null) skipped.push(`the refusal without a driver: this machine has one (${cuda.driver})`)
  else if (cuda.code !== 'E_CUDA_DRIVER')
    problems.push(`without a driver the refusal is ${cuda.code}, expected E_CUDA_DRIVER`)
}

await runMain(import.meta, 'check-cuda', () => {
  const { values } = parseArgs({ options: { install: { type: 'boolean', default: false } } })
  if (findNvcc() === undefined) {
    console.log('check-cuda: 1 skipped: everything, because there is no nvcc here')
    return
  }
  buildCuda()
  const { kernels, compiled } = checkKernels()
  checkInstructions()
  checkHopper(values.install)
  checkRefusal()
  for (const reason of skipped) console.log(`check-cuda: skipped: ${reason}`)
  if (problems.length > 0)
    throw new ScriptError(
      'E_CUDA_KERNELS',
      `${problems.length} problem(s)\n${problems.map((one) => `  ${one}`).join('\n')}`,
    )
  console.log(`check-cuda: ${kernels} kernels, compiled ${compiled} times, no spill; ${skipped.length} skipped`)
})
