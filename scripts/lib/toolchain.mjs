// Checks for what the native build needs, before it starts, so that a missing tool is named with the way to get it.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { probe, ScriptError } from './project.mjs'

const minimumCmake = [3, 24]
const minimumGcc = 11
const minimumCuda = [12, 8]
const minimumNode = [20, 19]

const atLeast = (version, minimum) => version[0] > minimum[0] || (version[0] === minimum[0] && version[1] >= minimum[1])

function cure(debian, fedora, mac) {
  if (process.platform === 'darwin') return `Get it with: ${mac}`
  return `Get it with: apt-get install ${debian} (Debian, Ubuntu), dnf install ${fedora} (Fedora, RHEL), or your system's own way.`
}

export function checkNode() {
  const version = process.versions.node.split('.').map(Number)
  if (!atLeast(version, minimumNode)) {
    throw new ScriptError(
      'E_TOOL_NODE',
      `this is Node ${process.version}; fedlora needs ${minimumNode.join('.')} or newer`,
    )
  }
}

/** Throws E_TOOL_CMAKE, E_TOOL_COMPILER or E_TOOL_MAKE when the native engine cannot be built here. */
export function checkToolchain() {
  const cmake = probe('cmake', ['--version'])
  if (cmake === undefined) {
    throw new ScriptError(
      'E_TOOL_CMAKE',
      `cmake is not on PATH; the native engine is built with CMake ${minimumCmake.join('.')} or newer. ` +
        cure('cmake', 'cmake', 'brew install cmake'),
    )
  }
  const version = /(\d+)\.(\d+)/.exec(cmake)
  if (!version || !atLeast([Number(version[1]), Number(version[2])], minimumCmake)) {
    throw new ScriptError(
      'E_TOOL_CMAKE',
      `CMake is ${version?.[0] ?? 'of unknown version'}, ${minimumCmake.join('.')} or newer is needed. ` +
        'A recent one comes with: pip install cmake',
    )
  }
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++']
  const compiler = candidates.find((name) => probe(name, ['--version']) !== undefined)
  if (compiler === undefined) {
    throw new ScriptError(
      'E_TOOL_COMPILER',
      `no C++ compiler (tried ${candidates.join(', ')}); the native engine is C++20. ` +
        cure('g++', 'gcc-c++', 'xcode-select --install'),
    )
  }
  if (/Free Software Foundation/.test(probe(compiler, ['--version']) ?? '')) {
    const major = Number.parseInt(probe(compiler, ['-dumpversion']) ?? '', 10)
    if (!(major >= minimumGcc)) {
      throw new ScriptError(
        'E_TOOL_COMPILER',
        `${compiler} is GCC ${major}, ${minimumGcc} or newer is needed for C++20; name a newer one with CXX=…`,
      )
    }
  }
  if (!hasNinja() && probe('make', ['--version']) === undefined) {
    throw new ScriptError(
      'E_TOOL_MAKE',
      `neither ninja nor make is on PATH. ${cure('ninja-build', 'ninja-build', 'brew install ninja')}`,
    )
  }
}

/** nvcc by PATH, CUDA_PATH, CUDA_HOME or where NVIDIA puts it; undefined without one. */
export function findNvcc() {
  const folders = [process.env.CUDA_PATH, process.env.CUDA_HOME, '/usr/local/cuda'].filter((one) => one)
  const candidates = ['nvcc', ...folders.map((folder) => join(folder ?? '', 'bin', 'nvcc')).filter(existsSync)]
  return candidates.find((name) => probe(name, ['--version']) !== undefined)
}

/** The CUDA compiler; throws E_TOOL_CUDA when it is absent or too old. */
export function checkCuda() {
  const need = minimumCuda.join('.')
  const nvcc = findNvcc()
  if (nvcc === undefined) {
    throw new ScriptError(
      'E_TOOL_CUDA',
      `nvcc is not on PATH, in CUDA_HOME or in /usr/local/cuda; the CUDA library is built with the CUDA toolkit ${need} or newer, ` +
        'from developer.nvidia.com/cuda-downloads or with: apt-get install nvidia-cuda-toolkit',
    )
  }
  const version = /release (\d+)\.(\d+)/.exec(probe(nvcc, ['--version']) ?? '')
  if (!version || !atLeast([Number(version[1]), Number(version[2])], minimumCuda)) {
    throw new ScriptError(
      'E_TOOL_CUDA',
      `${nvcc} is of CUDA ${version?.slice(1).join('.') ?? '?'}, ${need} or newer is needed`,
    )
  }
  return nvcc
}

const hasNinja = () => probe('ninja', ['--version']) !== undefined
/** As CMake calls it. */
export const generator = () => (hasNinja() ? 'Ninja' : 'Unix Makefiles')
