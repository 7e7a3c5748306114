// Test programs of CUDA kernels compiled against the emulator with flags of one's own, for mutants and sanitizers: the emulator, the
// kernels' host side and the programs anew, everything else from the CMake tree. An object is kept under the hash of all it is made of.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, posix } from 'node:path'
import { runAll } from './native-programs.mjs'
import { jobs, listFiles, root, ScriptError } from './project.mjs'

const tests = 'test/native/cuda'
const emulator = `${tests}/emulator`
/** Where `#include "x"` is looked for after the folder of the including file, and `<x>` at all. */
const includePath = ['native', 'test/native', tests]
const systemPath = [`${emulator}/include`]
const golden = `-DFEDLORA_GOLDEN="${join(root, 'test/golden')}"`
const always = ['-x', 'c++', '-std=c++20', '-w', '-ffp-contract=off', '-fno-math-errno', '-march=x86-64-v2', golden]

/** Runs a tool; resolves to its status and what it said. */
function execute(/** @type {string} */ command, /** @type {string[]} */ args) {
  return new Promise((/** @type {(result: { status: number | null, output: string }) => void} */ resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text
      })
    }
    child.on('error', (error) => resolve({ status: null, output: error.message }))
    child.on('close', (status) => resolve({ status, output }))
  })
}

/** @typedef {Map<string, string>} Overlay file → its text instead of the checkout's */

export class EmulatedBuild {
  /**
   * @param {string} name of the folder in build/emulated
   * @param {string[]} flags of compiler and linker
   * @param {string[]} [emulatorFlags] of the compiler for the emulator itself
   */
  constructor(name, flags, emulatorFlags = flags) {
    this.flags = flags
    this.emulatorFlags = emulatorFlags
    this.compiler = process.env.CXX ?? 'c++'
    this.folder = join(root, 'build', 'emulated', name)
    mkdirSync(join(this.folder, 'objects'), { recursive: true })
    /** @type {Map<string, string[]>} */
    this.includes = new Map()
    this.library = ['launch', 'library'].flatMap((room) => listFiles(`native/backend/cuda/${room}`, /\.cu$/))
    this.emulator = listFiles(emulator, /\.cpp$/)
    /** Program → the sources that are in it. @type {Map<string, string[]>} */
    this.members = new Map()
  }

  /** Names of all tests. */
  programs() {
    return listFiles(tests, /^test_cuda_.*\.cpp$/).map((file) => basename(file, '.cpp'))
  }

  /** The files of the checkout that `file` includes by itself. */
  included(/** @type {string} */ file) {
    const known = this.includes.get(file)
    if (known) return known
    const text = readFileSync(join(root, file), 'utf8')
    const found = [...text.matchAll(/^\s*#\s*include\s+(["<])([^">]+)[">]/gm)].flatMap(([, kind, target]) => {
      const folders = kind === '"' ? [dirname(file), ...includePath] : systemPath
      const path = folders.map((folder) => posix.join(folder, target)).find((path) => existsSync(join(root, path)))
      return path ? [path] : []
    })
    this.includes.set(file, found)
    return found
  }

  /** The file and all that it includes by way of others, sorted. */
  closure(/** @type {string} */ file) {
    const all = new Set([file])
    for (const next of all) for (const path of this.included(next)) all.add(path)
    return [...all].sort()
  }

  /** Compiles a source, unless its object is there; throws E_COMPILE with what the compiler said. @returns {Promise<string>} */
  async object(/** @type {string} */ source, /** @type {Overlay} */ overlay = new Map()) {
    const flags = source.startsWith(emulator) ? this.emulatorFlags : this.flags
    const hash = createHash('sha256').update([this.compiler, ...flags].join(' '))
    for (const file of this.closure(source))
      hash.update(`\0${file}\0`).update(overlay.get(file) ?? readFileSync(join(root, file)))
    const object = join(this.folder, 'objects', `${basename(source)}.${hash.digest('hex').slice(0, 24)}.o`)
    if (existsSync(object)) return object
    const changed = `${object}.d`
    for (const [file, text] of overlay) {
      mkdirSync(dirname(join(changed, file)), { recursive: true })
      writeFileSync(join(changed, file), text)
    }
    const includes = includePath.flatMap((folder) => ['-I', join(changed, folder), '-I', folder])
    const system = systemPath.flatMap((folder) => ['-isystem', folder])
    const input = overlay.has(source) ? join(changed, source) : source
    const { status, output } = await execute(this.compiler, [
      ...[...always, ...flags, `-ffile-prefix-map=${changed}/=`, ...system, ...includes],
      ...['-iquote', dirname(source), '-c', input, '-o', object],
    ])
    rmSync(changed, { recursive: true, force: true })
    if (status !== 0) throw new ScriptError('E_COMPILE', `${source}\n${output.slice(0, 4000)}`)
    return object
  }

  /** The static library of the emulator and of all kernels. */
  async archive() {
    const sources = [...this.library, ...this.emulator]
    const objects = await runAll(sources, jobs, (source) => this.object(source))
    const archive = join(this.folder, 'kernels.a')
    rmSync(archive, { force: true })
    const { status, output } = await execute('ar', ['rcs', archive, ...objects])
    if (status !== 0) throw new ScriptError('E_TOOL', `ar: ${output}`)
    return archive
  }

  /**
   * Links a program with changed sources, which are compiled anew wherever the program has them. `archive()` must have run.
   * @param {string} name of the program
   * @param {Overlay} [overlay]
   * @param {string} [output] where
   */
  async program(name, overlay = new Map(), output = join(this.folder, name)) {
    const main = `${tests}/${name}.cpp`
    const stands = (/** @type {string} */ source) => this.closure(source).some((file) => overlay.has(file))
    const changed = (this.members.get(name) ?? []).filter(stands)
    const objects = []
    for (const source of [main, ...changed]) objects.push(await this.object(source, overlay))
    const { status, output: said } = await execute(this.compiler, [
      ...[...this.flags, `-Wl,-Map=${output}.map`, ...objects, join(this.folder, 'kernels.a')],
      ...['libfedlora_book.a', 'libfedlora_engine.a'].map((file) => join(root, 'build', 'cmake', file)),
      ...['-lpthread', '-ldl', '-o', output],
    ])
    if (status !== 0) throw new ScriptError('E_LINK', `${name}\n${said.slice(0, 4000)}`)
    if (overlay.size === 0) {
      const map = readFileSync(`${output}.map`, 'utf8')
      const names = new Set([...map.matchAll(/kernels\.a\((\S+)\.[0-9a-f]{24}\.o\)/g)].map((match) => match[1]))
      this.members.set(
        name,
        [...this.library, ...this.emulator].filter((source) => names.has(basename(source))),
      )
    }
    return output
  }
}
