// zig as a C++ compiler for every target from one Linux machine: its package on PyPI holds clang, lld, libc++, musl, mingw-w64 and stubs of
// glibc and macOS. It lives in build/zig: a virtual environment, its cache, and for each target wrappers and a CMake toolchain file.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { probe, root, run, ScriptError } from './project.mjs'
import { generator } from './toolchain.mjs'

export const zigVersion = '0.17.0'
const home = join(root, 'build', 'zig')

/** pip of a virtual environment in build/zig, which is made when it is not there. */
export function pip(/** @type {string[]} */ words) {
  const python = join(home, 'venv', 'bin', 'python')
  if (!existsSync(python)) {
    if (probe('python3', ['-c', 'import venv, ensurepip']) === undefined)
      throw new ScriptError('E_TOOL', 'python3 with venv is not there. Get it with: apt-get install python3-venv')
    run('python3', ['-m', 'venv', join(home, 'venv')], { quiet: true })
  }
  run(python, ['-m', 'pip', ...words], { quiet: true })
}

/** Puts zig into build/zig unless it is there; the path of its program. */
export function installZig() {
  const library = join(home, 'venv', 'lib')
  const program = () =>
    (existsSync(library) ? readdirSync(library) : [])
      .map((python) => join(library, python, 'site-packages', 'ziglang', 'zig'))
      .find(existsSync)
  const here = program()
  if (here !== undefined && probe(here, ['version']) === zigVersion) return here
  console.error(`zig: installing ziglang ${zigVersion} from PyPI into build/zig`)
  pip(['install', '-q', `ziglang==${zigVersion}`])
  const installed = program()
  if (installed === undefined) throw new ScriptError('E_TOOL', `ziglang ${zigVersion} came without its program`)
  return installed
}

/**
 * A wrapper as CMake wants one: a program without arguments. zig writes processors with underscores (x86_64_v2), and gives code for one the
 * habits of the first that had its instructions, for x86_64_v2 Nehalem to Sandy Bridge: accesses of 32 bytes cut in two, which
 * costs AVX2 on all that came after. The file by which CMake asks a compiler who it is becomes an object: for a program zig would build a
 * C++ library without optimisation, which nothing else needs.
 */
const wrapper = (zig, command) => `#!/bin/sh
for word; do
  shift
  case $word in
    -march=x86-64*) word="-march=x86_64$(printf %s "\${word#-march=x86-64}" | tr - _)-slow_unaligned_mem_32" ;;
    CMakeC*CompilerId.*) set -- "$@" -c ;;
  esac
  set -- "$@" "$word"
done
export ZIG_GLOBAL_CACHE_DIR="\${ZIG_GLOBAL_CACHE_DIR:-${join(home, 'cache')}}" ZIG_LOCAL_CACHE_DIR=${join(home, 'cache')}
exec ${zig} ${command} "$@"
`

const systems = { linux: 'Linux', darwin: 'Darwin', win32: 'Windows' }
const processors = { x64: 'x86_64', arm64: 'aarch64' }
// zig's linker for macOS does not read archives whose members are aligned as GNU's are.
const archives = { linux: '', darwin: ' --format=darwin', win32: '' }

/**
 * The CMake toolchain file of a target; zig is installed when it is not there.
 * @param {import('./targets.mjs').Target} target
 */
function toolchainFile({ name, platform, arch, triple }) {
  const zig = installZig()
  const folder = join(home, name)
  mkdirSync(folder, { recursive: true })
  const tools = {
    cc: `cc -target ${triple}`,
    'c++': `c++ -target ${triple}`,
    ar: `ar${archives[platform]}`,
    ranlib: 'ranlib',
  }
  for (const [tool, command] of Object.entries(tools)) {
    const path = join(folder, tool)
    const text = wrapper(zig, command)
    // What another compiler made stays nowhere: CMake does not look into its compiler.
    if (existsSync(path) && readFileSync(path, 'utf8') !== text)
      rmSync(join(folder, 'cmake'), { recursive: true, force: true })
    writeFileSync(path, text)
    chmodSync(path, 0o755)
  }
  const file = join(folder, 'toolchain.cmake')
  const lines = [
    `# ${triple} by zig ${zigVersion}: written by scripts/lib/zig.mjs.`,
    `set(CMAKE_SYSTEM_NAME ${systems[platform]})`,
    `set(CMAKE_SYSTEM_PROCESSOR ${processors[arch]})`,
    ...Object.entries({ C_COMPILER: 'cc', CXX_COMPILER: 'c++', AR: 'ar', RANLIB: 'ranlib' }).map(
      ([variable, tool]) => `set(CMAKE_${variable} ${join(folder, tool)})`,
    ),
    'set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)',
    'set(CMAKE_SHARED_LINKER_FLAGS_INIT -s)', // stripped by the linker, which signs for macOS after that
    ...(platform === 'darwin' ? ['set(CMAKE_INSTALL_NAME_TOOL /bin/true)'] : []),
    ...(platform === 'win32' ? ['set(CMAKE_RC_COMPILER /bin/true)'] : []),
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

/** Configures the CMake tree of a target, whose path it returns: the addon and the native tests share it, so that the engine is compiled once. */
export function zigTree(/** @type {import('./targets.mjs').Target} */ target, suffix = '', options = []) {
  const tree = join(home, target.name, `cmake${suffix}`)
  if (suffix !== '') rmSync(tree, { recursive: true, force: true })
  const first = target.libc === 'glibc' ? `-include ${join(root, 'native', 'base', 'glibc_symbols.h')}` : ''
  const settings = { TOOLCHAIN_FILE: toolchainFile(target), BUILD_TYPE: 'Release', CXX_FLAGS: first }
  const all = [...Object.entries(settings).map(([name, value]) => `-DCMAKE_${name}=${value}`), ...options]
  run('cmake', ['-S', root, '-B', tree, '-G', generator(), ...all], { quiet: true })
  return tree
}
