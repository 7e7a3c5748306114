// Checks for what the native build needs, before it starts, so that a missing tool is named with the way to get it.
import { probe, ScriptError } from './project.mjs'

const minimumCmake = [3, 24]
const minimumGcc = 11
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

export const hasNinja = () => probe('ninja', ['--version']) !== undefined
