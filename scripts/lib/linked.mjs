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
  const mingw = said('lib/libc/include/any-windows-any/_mingw_mac.h', /_MAJOR (\d+)[\s\S]*?_MINOR (\d+)/)
  const byZig = (/** @type {import('./targets.mjs').Target} */ { compiler }) => compiler === 'zig'
  const ofLlvm = (/** @type {string} */ name, /** @type {string} */ what) => ({
    ...{
      name,
      version: llvm,
      purl: `pkg:github/llvm/llvm-project@llvmorg-${llvm}#${name.replaceAll('+', 'x')}`,
      what,
      isIn: byZig,
    },
    ...{ licence: 'Apache-2.0 WITH LLVM-exception', text: read(`lib/${name.replaceAll('+', 'x')}/LICENSE.TXT`) },
  })
  const packaged = (/** @type {string} */ name, /** @type {string} */ file) => {
    const folder = join(root, 'node_modules', name)
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const text = readFileSync(join(folder, file), 'utf8')
    return {
      name,
      version,
      purl: `pkg:npm/${name}@${version}`,
      licence: license,
      what: 'headers',
      isIn: () => true,
      text,
    }
  }
  return [
    packaged('node-addon-api', 'LICENSE.md'),
    packaged('node-api-headers', 'LICENSE'),
    ofLlvm('libc++', 'the C++ library'),
    ofLlvm('libc++abi', 'exceptions and run-time types'),
    ofLlvm('libunwind', 'unwinding of the stack'),
    {
      ...{
        name: 'zig',
        version: zigVersion,
        purl: `pkg:pypi/ziglang@${zigVersion}`,
        licence: 'MIT',
        text: read('LICENSE'),
      },
      ...{ what: 'the run-time library of the compiler', isIn: byZig },
    },
    {
      ...{
        name: 'glibc',
        version: '2.28',
        purl: 'pkg:generic/glibc@2.28',
        licence: 'LGPL-2.1-or-later',
        text: read('lib/libc/glibc/LICENSES'),
      },
      ...{
        what: 'start files and libc_nonshared, which may be linked into anything',
        isIn: (target) => byZig(target) && target.libc === 'glibc',
      },
    },
    {
      ...{
        name: 'musl',
        version: said('lib/libc/musl/src/internal/version.h', /"(\d+)\.(\d+)\.(\d+)"/),
        purl: '',
        licence: 'MIT',
      },
      ...{
        what: 'start files',
        isIn: (target) => byZig(target) && target.libc === 'musl',
        text: read('lib/libc/musl/COPYRIGHT'),
      },
    },
    {
      ...{
        name: 'mingw-w64',
        version: mingw,
        purl: `pkg:generic/mingw-w64@${mingw}`,
        licence: 'ZPL-2.1',
        text: read('lib/libc/mingw/COPYING'),
      },
      ...{ what: 'start files, winpthreads, parts of the C library', isIn: (target) => target.platform === 'win32' },
    },
  ].map((one) => (one.purl === '' ? { ...one, purl: `pkg:generic/${one.name}@${one.version}` } : one))
}
