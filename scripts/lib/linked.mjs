// What is compiled into the prebuilt binaries beside our own sources: names, versions and licences for the bill of materials, and the licences'
// texts, which go where the binaries go. npm knows of none of it.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root, ScriptError } from './project.mjs'
import { installZig, zigVersion } from './zig.mjs'

/**
 * @typedef {object} Linked
 * @property {string} name
 * @property {string} version
 * @property {string} purl
 * @property {string} licence of SPDX
 * @property {string} what of it is in there
 * @property {(target: import('./targets.mjs').Target) => boolean} isIn
 * @property {string} text of the licence
 */

/** @returns {Linked[]} */
export function linkedIn() {
  const zig = dirname(installZig())
  const read = (/** @type {string} */ file) => readFileSync(join(zig, file), 'utf8')
  /** The groups of what a file says of its version. */
  const said = (/** @type {string} */ file, /** @type {RegExp} */ pattern) => {
    const found = pattern.exec(read(file))
    if (found === null) throw new ScriptError('E_SBOM', `zig's ${file} no longer says its version as ${pattern}`)
    return found.slice(1).map(Number).join('.')
  }
  const llvm = said('lib/libcxx/include/__config', /define _LIBCPP_VERSION (\d\d)(\d\d)(\d\d)/)
  const byZig = (/** @type {import('./targets.mjs').Target} */ { compiler }) => compiler === 'zig'
  const byZigFor = (/** @type {string} */ libc) => (/** @type {import('./targets.mjs').Target} */ target) =>
    byZig(target) && target.libc === libc
  const generic = (/** @type {string} */ name, /** @type {string} */ version) => ({
    name,
    version,
    purl: `pkg:generic/${name}@${version}`,
  })
  const llvmPart = (/** @type {string} */ name, /** @type {string} */ what) => {
    const folder = name.replaceAll('+', 'x')
    return {
      name,
      version: llvm,
      purl: `pkg:github/llvm/llvm-project@llvmorg-${llvm}#${folder}`,
      licence: 'Apache-2.0 WITH LLVM-exception',
      what,
      isIn: byZig,
      text: read(`lib/${folder}/LICENSE.TXT`),
    }
  }
  const packaged = (/** @type {string} */ name, /** @type {string} */ file) => {
    const folder = join(root, 'node_modules', name)
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    return {
      name,
      version,
      purl: `pkg:npm/${name}@${version}`,
      licence: license,
      what: 'headers',
      isIn: () => true,
      text: readFileSync(join(folder, file), 'utf8'),
    }
  }
  return [
    packaged('node-addon-api', 'LICENSE.md'),
    packaged('node-api-headers', 'LICENSE'),
    llvmPart('libc++', 'the C++ library'),
    llvmPart('libc++abi', 'exceptions and run-time types'),
    llvmPart('libunwind', 'unwinding of the stack'),
    {
      name: 'zig',
      version: zigVersion,
      purl: `pkg:pypi/ziglang@${zigVersion}`,
      licence: 'MIT',
      what: 'the run-time library of the compiler',
      isIn: byZig,
      text: read('LICENSE'),
    },
    {
      ...generic('glibc', '2.28'),
      licence: 'LGPL-2.1-or-later',
      what: 'start files and libc_nonshared, which may be linked into anything',
      isIn: byZigFor('glibc'),
      text: read('lib/libc/glibc/LICENSES'),
    },
    {
      ...generic('musl', said('lib/libc/musl/src/internal/version.h', /"(\d+)\.(\d+)\.(\d+)"/)),
      licence: 'MIT',
      what: 'start files',
      isIn: byZigFor('musl'),
      text: read('lib/libc/musl/COPYRIGHT'),
    },
    {
      ...generic(
        'mingw-w64',
        said('lib/libc/include/any-windows-any/_mingw_mac.h', /_MAJOR (\d+)[\s\S]*?_MINOR (\d+)/),
      ),
      licence: 'ZPL-2.1',
      what: 'start files, winpthreads, parts of the C library',
      isIn: ({ platform }) => platform === 'win32',
      text: read('lib/libc/mingw/COPYING'),
    },
  ]
}
