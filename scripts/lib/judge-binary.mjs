// What a prebuilt binary must keep to before it is published: it is for its platform, asks only for what every such system has, and shows
// nothing of the machine that built it.
import nodeApi from 'node-api-headers'
import { olderThan, parseBinary } from '../../dist/native/binary.js'
import { readBinaryFile } from './binary-file.mjs'

const maximumBytes = 6e6
const newestGlibc = '2.28'
const oldestMac = '11.0'
const entries = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']
const { js_native_api_symbols: language, node_api_symbols: node } = nodeApi.symbols.v9
/** All functions of Node-API 9, which every Node that we support has. */
export const nodeApiFunctions = [...language, ...node].sort()

/** Libraries that every system of the kind has. @type {Record<string, RegExp>} */
const libraries = {
  glibc: /^(lib(c|m)\.so\.6|lib(pthread|rt)\.so\.[01]|libdl\.so\.2|ld-linux-(x86-64|aarch64)\.so\.[12])$/,
  musl: /^libc\.so$/,
  darwin: /^\/usr\/lib\/libSystem\.B\.dylib$/,
  win32: /^(kernel32\.dll|api-ms-win-crt-[a-z0-9-]+\.dll)$/i,
}
/** A compiler of the system links its own run-time libraries, which other systems have in as new a version or not. */
const systemLibraries = /^lib(stdc\+\+\.so\.6|gcc_s\.so\.1)$/

/** Where people build: no such text belongs in a binary. */
const buildPlaces = /\/(home|root|Users|tmp|work|builds?|github)\/[\w.-]+\/[ -~]*/

/** What macOS has beside: the linker's own names, and libc++'s allocation functions, which are weak: all of a process are the same ones. */
const macExports = /^(_mh_dylib_header|__dso_handle|_Z(n[wa]|d[la]).*)$/

/**
 * Everything that is wrong with the binary of a target.
 * @param {import('./targets.mjs').Target} target
 * @param {Buffer} bytes
 */
export function judgeBinary({ platform, arch, libc, compiler }, bytes) {
  const read = parseBinary(bytes)
  if (read === undefined) return ['it is no shared library']
  if (read.platform !== platform || read.archs.join() !== arch || read.libc !== libc)
    return [`it is for ${read.platform}-${read.archs.join('+')}${read.libc === null ? '' : ` with ${read.libc}`}`]
  const file = readBinaryFile(bytes)
  const problems = []
  const expect = (/** @type {boolean} */ holds, /** @type {string} */ problem) => {
    if (!holds) problems.push(problem)
  }
  expect(bytes.length <= maximumBytes, `it has ${bytes.length} bytes, at most ${maximumBytes}`)
  const ours = compiler === 'system'
  if (read.glibcFloor !== null && !ours)
    expect(!olderThan(newestGlibc, read.glibcFloor), `it needs glibc ${read.glibcFloor}, at most ${newestGlibc}`)
  for (const library of file.libraries) {
    const known = libraries[libc ?? platform].test(library) || (ours && systemLibraries.test(library))
    expect(known, `it needs ${library}`)
  }
  // What no library of its own has, the program must bring: Node-API and nothing else.
  const fromProgram = file.imports.filter(
    (name) => /^(napi_|node_api_)/.test(name) || (platform !== 'linux' && !name.includes(':')),
  )
  expect(platform === 'win32' || fromProgram.length > 0, 'it uses nothing of Node-API')
  for (const name of fromProgram) expect(nodeApiFunctions.includes(name), `${name} is not of Node-API 9`)
  for (const name of file.imports) expect(ours || !/^_Z/.test(name), `${name} of a C++ library is undefined`)
  for (const name of file.imports) expect(!/^-?\d+:/.test(name), `${name.replace(/^.*:/, '')} is bound to no library`)
  for (const name of entries) expect(file.exports.includes(name), `it does not export ${name}`)
  for (const name of file.exports)
    expect(entries.includes(name) || (platform === 'darwin' && macExports.test(name)), `it exports ${name}`)
  // Generic ones of the compiler's own stand in for them unnoticed (native/base/glibc_symbols.h).
  for (const name of libc === 'glibc' ? ['memcpy', 'memset', 'exp'] : [])
    expect(file.imports.includes(name), `its ${name} is not glibc's`)
  if (platform === 'darwin') {
    expect(file.minimum === oldestMac, `its oldest macOS is ${file.minimum}, expected ${oldestMac}`)
    // arm64 loads nothing that is unsigned; for x64, where none is asked for, zig's linker signs nothing.
    const signature = arch === 'arm64' ? 'ad hoc' : 'none'
    expect(file.signature === signature, `its signature is ${file.signature}, expected ${signature}`)
    expect(file.installName === '@rpath/fedlora.node', `its install name is ${file.installName}`)
  }
  const place = buildPlaces.exec(bytes.toString('latin1'))
  expect(place === null, `it holds a path of the machine that built it: ${place?.[0].slice(0, 100)}`)
  return problems
}
