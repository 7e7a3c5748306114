// The judges of prebuilt binaries, of the tarball that holds them and of a release; each with what it must call wrong.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { releaseProblems } from '../../scripts/check-release.mjs'
import { inspectBinaries } from '../../scripts/check-tarball.mjs'
import { readBinaryFile } from '../../scripts/lib/binary-file.mjs'
import { judgeBinary, nodeApiFunctions } from '../../scripts/lib/judge-binary.mjs'
import { prebuiltFile, target, targets } from '../../scripts/lib/targets.mjs'
import { chosenTargets } from '../../scripts/prebuild.mjs'
import { completeBill, licenceTexts } from '../../scripts/write-sbom.mjs'
import { elfOf, machOOf, peOf } from '../support/binaries.js'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const entries = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']
const find = (name: string) => targets.find((one) => one.name === name)!

t.test('seven platforms, each with a file of its own', async (t) => {
  t.same(targets.map(prebuiltFile).sort(), [
    'prebuilds/darwin-arm64/fedlora.node',
    'prebuilds/darwin-x64/fedlora.node',
    'prebuilds/linux-arm64/fedlora.glibc.node',
    'prebuilds/linux-arm64/fedlora.musl.node',
    'prebuilds/linux-x64/fedlora.glibc.node',
    'prebuilds/linux-x64/fedlora.musl.node',
    'prebuilds/win32-x64/fedlora.node',
  ])
  t.equal(nodeApiFunctions.length, 149)
})

t.test('the addon of this checkout', { skip: process.platform !== 'linux' }, async (t) => {
  const bytes = readFileSync(join(root, 'build', 'Release', 'fedlora.node'))
  const file = readBinaryFile(bytes)
  t.ok(file.libraries.includes('libc.so.6'))
  t.same([...file.exports].sort(), entries, 'shows Node’s entry points and nothing of its C++ library')
  t.ok(file.imports.filter((name) => name.startsWith('napi_')).length > 50)
  t.same(judgeBinary(target(`linux-${process.arch}-glibc`, 'system'), bytes), [])
  const strict = judgeBinary(target(`linux-${process.arch}-glibc`, 'zig'), bytes).join('\n')
  t.match(strict, /it needs libstdc\+\+\.so\.6/, 'a compiler’s own library is not on every system')
  t.match(judgeBinary(find('linux-x64-musl'), bytes), [/it is for linux-x64 with glibc/])
})

t.test('which are built: this machine’s, one, or all, and only where that can be', async (t) => {
  const here = target('linux-x64-glibc', 'system')
  t.same(chosenTargets({}, here), [here])
  t.same(chosenTargets({ target: 'win32-x64', verify: true }, here), [find('win32-x64')])
  t.same(chosenTargets({ target: 'linux-x64-glibc' }, here), [find('linux-x64-glibc')], 'the published one, by zig')
  t.same(chosenTargets({ all: true, verify: true }, target('linux-x64-musl', 'system')), targets)
  const refused = (options: object, machine: string, code: string, message: RegExp) =>
    t.throws(() => chosenTargets(options, target(machine, 'system')), { code, message })
  refused({ target: 'win32-arm64' }, 'linux-x64-glibc', 'E_ARGUMENT', /win32-arm64 is unknown; there are linux-x64-/)
  refused({ all: true, target: 'win32-x64' }, 'linux-x64-glibc', 'E_ARGUMENT', /leave one of them out/)
  refused({ verify: true }, 'linux-x64-glibc', 'E_ARGUMENT', /--verify is for what zig builds/)
  refused({ all: true }, 'darwin-arm64', 'E_TOOL', /on Linux x64, and this is darwin-arm64/)
  refused({ target: 'linux-x64-glibc' }, 'linux-arm64-glibc', 'E_TOOL', /this is linux-arm64-glibc/)
})

const elf = (libraries: string[], versions: string[]) => elfOf({ machine: 62, libraries, versions })
t.test('Linux: libraries, glibc, entry points', async (t) => {
  const glibc = find('linux-x64-glibc')
  const problems = (libraries: string[], versions: string[]) => judgeBinary(glibc, elf(libraries, versions)).join('\n')
  t.match(problems(['libc.so.6'], ['2.28']), /uses nothing of Node-API\nit does not export napi_register_module_v1/)
  t.notMatch(problems(['libc.so.6', 'libm.so.6', 'libpthread.so.0', 'libdl.so.2'], ['2.28']), /it needs/)
  t.match(problems(['libc.so.6'], ['2.28']), /its memcpy is not glibc's\nits memset/)
  t.match(problems(['libc.so.6'], ['2.29']), /it needs glibc 2\.29, at most 2\.28/)
  t.match(problems(['libc.so.6', 'libgomp.so.1'], ['2.17']), /it needs libgomp\.so\.1/)
  t.match(judgeBinary(find('linux-x64-musl'), elf(['libc.so', 'libgcc_s.so.1'], [])), [/it needs libgcc_s\.so\.1/])
  t.same(judgeBinary(find('linux-arm64-glibc'), elf(['libc.so.6'], [])), ['it is for linux-x64 with glibc'])
  t.same(judgeBinary(glibc, Buffer.from('text')), ['it is no shared library'])
})

t.test('macOS: libraries, undefined symbols, oldest system, signature, name', async (t) => {
  const sound = {
    cpu: 0x0100000c,
    libraries: ['/usr/lib/libSystem.B.dylib'],
    imports: [
      { name: 'napi_create_object', library: -2 },
      { name: 'malloc', library: 1 },
    ],
    exports: [...entries, '_mh_dylib_header', '__dso_handle', '_ZdlPv', '_Znwm'],
    minimum: [11, 0] as [number, number],
    installName: '@rpath/fedlora.node',
    signed: true,
  }
  const judge = (change: Partial<typeof sound> = {}) =>
    judgeBinary(find('darwin-arm64'), machOOf({ ...sound, ...change }))
  t.same(judge(), [])
  t.same(readBinaryFile(machOOf(sound)).imports, ['napi_create_object', '/usr/lib/libSystem.B.dylib:malloc'])
  t.match(judge({ cpu: 0x01000007 }), [/it is for darwin-x64/])
  t.match(judge({ libraries: ['/usr/lib/libc++.1.dylib'] }), [/it needs \/usr\/lib\/libc\+\+\.1\.dylib/])
  t.match(judge({ imports: [...sound.imports, { name: 'fmaxf', library: -2 }] }), [/fmaxf is not of Node-API 9/])
  const newer = [...sound.imports, { name: 'node_api_create_object_with_properties', library: -2 }]
  t.match(judge({ imports: newer }), [/node_api_create_object_with_properties is not of Node-API 9/])
  t.match(judge({ imports: sound.imports.slice(1) }), [/uses nothing of Node-API/])
  t.match(judge({ exports: entries.slice(1) }), [/does not export napi_register_module_v1/])
  t.match(judge({ exports: [...entries, '_ZNSt3__16locale5emptyEv'] }), [/it exports _ZNSt3__1/])
  t.match(judge({ minimum: [15, 0] }), [/oldest macOS is 15\.0, expected 11\.0/])
  const elsewhere = ['', 'home', 'me', 'fedlora.node'].join('/')
  t.match(judge({ installName: elsewhere }), [`its install name is ${elsewhere}`, /a path of the machine/])
  t.match(judge({ signed: false }), [/signature is none/])
  const intel = machOOf({ ...sound, cpu: 0x01000007, signed: false })
  t.same(judgeBinary(find('darwin-x64'), intel), [], 'Intel’s needs no signature')
  t.match(judge({ imports: [{ name: 'napi_create_object', library: 0 }] }), [
    /uses nothing/,
    /napi_create_object is bound to no library/,
  ])
  const owned = machOOf(sound)
  owned[owned.indexOf('fade0c02', 0, 'hex') + 15] = 0 // no flag: of somebody's certificate
  t.match(judgeBinary(find('darwin-arm64'), owned), [/signature is other/])
  const altered = machOOf(sound)
  altered[4500]! ^= 1
  t.match(judgeBinary(find('darwin-arm64'), altered), [/signature is broken/], 'a byte of the second page')
})

t.test('Windows: libraries, no import of Node’s, entry points', async (t) => {
  const judge = (imports: Record<string, string[]>, exports = entries) =>
    judgeBinary(find('win32-x64'), peOf({ machine: 0x8664, imports, exports }))
  const sound = { 'KERNEL32.dll': ['GetProcAddress'], 'api-ms-win-crt-heap-l1-1-0.dll': ['free', 'malloc'] }
  t.same(judge(sound), [])
  t.same(readBinaryFile(peOf({ machine: 0x8664, imports: sound, exports: entries })).imports, [
    'KERNEL32.dll:GetProcAddress',
    'api-ms-win-crt-heap-l1-1-0.dll:free',
    'api-ms-win-crt-heap-l1-1-0.dll:malloc',
  ])
  t.match(
    judge({ ...sound, 'NODE.EXE': ['napi_create_object'] }),
    [/it needs NODE\.EXE/],
    'Electron has no such module',
  )
  t.match(judge({ ...sound, 'libc++.dll': [] }), [/it needs libc\+\+\.dll/])
  t.match(judge(sound, [...entries, 'DllMain']), [/it exports DllMain/])
  t.match(judge(sound, []), [/does not export napi_register/, /does not export node_api_module/])
})

t.test('no path of a machine, no size beyond bounds', async (t) => {
  const head = peOf({ machine: 0x8664, imports: {}, exports: entries })
  const judge = (bytes: Buffer) => judgeBinary(find('win32-x64'), bytes)
  t.same(judge(head), [])
  for (const place of ['home/me/project/a.cpp', 'root/.cache/zig/o/1', 'Users/ci/x', 'tmp/build/x']) {
    const path = `/${place}`
    t.match(judge(Buffer.concat([head, Buffer.from(`\0${path}\0`)])), [
      `it holds a path of the machine that built it: ${path}`,
    ])
  }
  t.same(judge(Buffer.concat([head, Buffer.from('\0native/model/pass.cpp\0/proc/self/status\0/dev/urandom\0')])), [])
  t.match(judge(Buffer.concat([head, Buffer.alloc(6e6)])), [/bytes, at most 6000000/])
})

const linked = [
  {
    name: 'libx',
    version: '1',
    purl: 'pkg:generic/libx@1',
    licence: 'MIT',
    what: 'all',
    isIn: () => true,
    text: 'Do.',
  },
  {
    name: 'node-addon-api',
    version: '8',
    purl: 'pkg:npm/node-addon-api@8',
    licence: 'MIT',
    what: 'headers',
    isIn: ({ platform }: { platform: string }) => platform === 'win32',
    text: 'Be.',
  },
]
const npm = {
  serialNumber: 'urn:uuid:random',
  metadata: { timestamp: 'now', component: { 'bom-ref': 'fedlora@1', name: 'folder' } },
  components: [{ 'bom-ref': 'node-addon-api@8', name: 'node-addon-api', purl: 'pkg:npm/node-addon-api@8' }],
  dependencies: [{ ref: 'fedlora@1', dependsOn: ['node-addon-api@8'] }],
}

t.test('the bill of materials: npm’s, what is linked in, each binary by its SHA-256; the same each time', async (t) => {
  const bytes = Buffer.from('binary')
  const binaries = [find('win32-x64'), find('darwin-x64')].map((target) => ({ target, bytes }))
  const bill = completeBill(npm, linked, binaries)
  t.notOk('serialNumber' in bill || 'timestamp' in bill.metadata)
  t.equal(bill.metadata.component.name, 'fedlora')
  t.same(
    bill.components.map((one: { 'bom-ref': string }) => one['bom-ref']),
    ['node-addon-api@8', 'pkg:generic/libx@1', 'prebuilds/win32-x64/fedlora.node', 'prebuilds/darwin-x64/fedlora.node'],
  )
  const sha = createHash('sha256').update(bytes).digest('hex')
  t.same(bill.components[2].hashes, [{ alg: 'SHA-256', content: sha }])
  const dependencies = new Map(
    bill.dependencies.map((one: { ref: string; dependsOn: string[] }) => [one.ref, one.dependsOn]),
  )
  t.same(dependencies.get('prebuilds/win32-x64/fedlora.node'), ['pkg:generic/libx@1', 'node-addon-api@8'])
  t.same(dependencies.get('prebuilds/darwin-x64/fedlora.node'), ['pkg:generic/libx@1'])
  t.equal((dependencies.get('fedlora@1') as string[]).length, 3)
  t.match(licenceTexts(linked), /libx 1 \(MIT\): all\n=+\n\nDo\.\n[\s\S]*Be\./)
})

t.test('inspectBinaries: seven, as the bill says, with licences, and no other', async (t) => {
  const bytes = peOf({ machine: 0x8664, imports: {}, exports: entries })
  const bill = completeBill(npm, linked, [{ target: find('win32-x64'), bytes }])
  const sound = {
    'sbom.cdx.json': JSON.stringify(bill),
    'LICENSES.txt': licenceTexts(linked),
    'win32-x64': { 'fedlora.node': bytes },
  }
  /** With a change; null takes a file away. */
  const inspect = (change: object = {}) => {
    const there = Object.entries({ ...sound, ...change }).filter(([, content]) => content !== null)
    return inspectBinaries(t.testdir({ prebuilds: Object.fromEntries(there) }))
  }
  const missing = targets
    .map(prebuiltFile)
    .filter((name) => !name.includes('win32'))
    .map((name) => `${name} is missing`)
  t.same(inspect(), missing)
  const more = (change: object) => inspect(change).filter((problem) => !missing.includes(problem))
  t.match(more({ 'sbom.cdx.json': null }), [/sbom\.cdx\.json is missing/, /the bill of materials says undefined/])
  t.match(more({ 'LICENSES.txt': 'none' }), [/lacks the licence of libx/])
  t.match(more({ 'win32-x64': { 'fedlora.node': Buffer.concat([bytes, Buffer.alloc(1)]) } }), [
    /bill of materials says/,
  ])
  t.match(more({ 'win32-x64': { 'fedlora.node': bytes, 'other.node': '' } }), [/other\.node is of no platform/])
  t.match(more({ 'linux-x64': { 'fedlora.glibc.node': bytes } })[0], /linux-x64.*it is for win32-x64/)
})

t.test('a release is what its tag says', async (t) => {
  const changelog = '# Changelog\n\n## [1.2.3] - 2026-11-28\n'
  t.same(releaseProblems('v1.2.3', '1.2.3', changelog, ['fedlora-1.2.3.tgz', 'package.json']), [])
  t.match(releaseProblems('v1.2.4', '1.2.3', changelog, ['fedlora-1.2.3.tgz']), [/tag is v1\.2\.4/])
  t.match(releaseProblems('v1.2.3', '1.2.3', '## Unreleased', ['fedlora-1.2.3.tgz']), [/no heading for 1\.2\.3/])
  t.match(releaseProblems('v1.2.3', '1.2.3', changelog, []), [/tarballs here are none/])
  t.match(releaseProblems('v1.2.3', '1.2.3', changelog, ['fedlora-1.2.3.tgz', 'fedlora-1.2.2.tgz']), [/1\.2\.2\.tgz/])
})
