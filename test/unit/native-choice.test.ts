/** Which addon a machine takes, and what a machine is told whose addon is not there, or does not fit. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { chooseAddon, describeMachine, type Machine, prebuiltPlatforms, thisMachine } from '../../src/native/choice.js'
import { openNative, packageRoot } from '../../src/native/load.js'
import { elfOf, headOf } from '../support/binaries.js'

const built = join(packageRoot(), 'build', 'Release', 'fedlora.node')
/** The module under test as children import it: the built package needs no loader. */
const compiled = JSON.stringify(pathToFileURL(join(packageRoot(), 'dist', 'native', 'choice.js')).href)
const { NODE_OPTIONS: _ours, ...plain } = process.env
const glibc: Machine = { platform: 'linux', arch: 'x64', libc: 'glibc', glibcVersion: '2.36' }
const musl: Machine = { platform: 'linux', arch: 'x64', libc: 'musl', glibcVersion: null }
const arm: Machine = { ...glibc, arch: 'arm64' }
const mac: Machine = { platform: 'darwin', arch: 'arm64', libc: null, glibcVersion: null }
const windows: Machine = { ...mac, platform: 'win32', arch: 'x64' }

const all = {
  'linux-x64': { 'fedlora.glibc.node': '', 'fedlora.musl.node': '' },
  'linux-arm64': { 'fedlora.glibc.node': '', 'fedlora.musl.node': '' },
  'darwin-arm64': { 'fedlora.node': '' },
  'darwin-x64': { 'fedlora.node': '' },
  'win32-x64': { 'fedlora.node': '' },
}
const manifest = { 'package.json': '{ "name": "fedlora" }' }

t.test('the running machine', async (t) => {
  const { header } = process.report.getReport() as unknown as { header: Record<string, string | undefined> }
  const version = header.glibcVersionRuntime ?? null
  const libc = process.platform !== 'linux' ? null : version === null ? 'musl' : 'glibc'
  t.same(thisMachine(), { platform: process.platform, arch: process.arch, libc, glibcVersion: version })
  t.same([glibc, musl, mac].map(describeMachine), ['linux-x64 (glibc 2.36)', 'linux-x64 (musl)', 'darwin-arm64'])
  // A Node that reports no glibc is musl's, whatever the system's files say.
  const program = `
    const { getReport } = process.report
    process.report.getReport = () => ({ header: { ...getReport.call(process.report).header, glibcVersionRuntime: undefined } })
    const { thisMachine } = await import(${compiled})
    console.log(JSON.stringify(thisMachine()))`
  const said = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', env: plain })
  if (process.platform === 'linux') t.match(JSON.parse(said.stdout), { libc: 'musl', glibcVersion: null }, said.stderr)
})

t.test('each machine takes its own, and says why', async (t) => {
  const root = t.testdir({ ...manifest, prebuilds: all })
  const takes = (machine: Machine) => chooseAddon(root, machine)
  const expect = (machine: Machine, file: string) =>
    t.match(takes(machine), { path: join(root, 'prebuilds', file), from: 'prebuilds' }, describeMachine(machine))
  expect(glibc, 'linux-x64/fedlora.glibc.node')
  expect(musl, 'linux-x64/fedlora.musl.node')
  expect(arm, 'linux-arm64/fedlora.glibc.node')
  expect({ ...arm, libc: 'musl', glibcVersion: null }, 'linux-arm64/fedlora.musl.node')
  expect(mac, 'darwin-arm64/fedlora.node')
  expect({ ...mac, arch: 'x64' }, 'darwin-x64/fedlora.node')
  expect(windows, 'win32-x64/fedlora.node')
  t.equal(
    takes(musl).why,
    'prebuilt for linux-x64; this is linux-x64 (musl), the C library as the running Node reports it',
  )
  t.equal(takes(windows).why, 'prebuilt for win32-x64; this is win32-x64')
})

t.test(
  'neither variables nor somebody else’s node-gyp-build change that, and both are left as they were',
  async (t) => {
    const root = t.testdir({ ...manifest, prebuilds: all })
    const require = createRequire(join(packageRoot(), 'src', 'native', 'choice.ts'))
    const theirs = require('node-gyp-build/node-gyp-build.js')
    for (const [name, value] of [
      ['LIBC', 'glibc'],
      ['npm_config_arch', 'ia32'],
      ['npm_config_platform', 'win32'],
    ] as const) {
      const before = process.env[name]
      t.teardown(() => {
        if (before === undefined) delete process.env[name]
        else process.env[name] = before
      })
      process.env[name] = value
    }
    t.match(chooseAddon(root, musl).path, /linux-x64[\\/]fedlora\.musl\.node$/)
    t.equal(require('node-gyp-build/node-gyp-build.js'), theirs, 'another package keeps its own')
    t.same([process.env.LIBC, process.env.npm_config_arch, process.env.npm_config_platform], ['glibc', 'ia32', 'win32'])
    delete process.env.LIBC
    t.match(chooseAddon(root, musl).path, /fedlora\.musl\.node$/)
    t.notOk('LIBC' in process.env)
  },
)

t.test('a build of one’s own comes first; FEDLORA_PREBUILD before that', async (t) => {
  const root = t.testdir({
    mine: { ...manifest, prebuilds: structuredClone(all), build: { Release: { 'fedlora.node': '' } } },
    other: { prebuilds: all },
  })
  t.match(chooseAddon(join(root, 'mine'), musl), {
    path: join(root, 'mine', 'build', 'Release', 'fedlora.node'),
    from: 'build',
    why: /comes before/,
  })
  process.env.FEDLORA_PREBUILD = join(root, 'other')
  t.teardown(() => delete process.env.FEDLORA_PREBUILD)
  t.match(chooseAddon(join(root, 'mine'), mac), {
    path: join(root, 'other', 'prebuilds', 'darwin-arm64', 'fedlora.node'),
    from: 'FEDLORA_PREBUILD',
    why: `FEDLORA_PREBUILD names ${join(root, 'other')}`,
  })
  t.throws(() => chooseAddon(join(root, 'mine'), { ...mac, arch: 'riscv64' }), {
    message: /other[\\/]build[\\/]Release \(not there\)[\s\S]*FEDLORA_PREBUILD names .*other: unset it/,
  })
})

t.test('a machine without an addon is told which there are, and how to build one', async (t) => {
  const root = t.testdir({ ...manifest, prebuilds: all, src: {} })
  t.same(prebuiltPlatforms(root), [
    'darwin-arm64',
    'darwin-x64',
    'linux-arm64 (glibc, musl)',
    'linux-x64 (glibc, musl)',
    'win32-x64',
  ])
  const missing = (folder: string, machine: Machine) => {
    try {
      chooseAddon(folder, machine)
    } catch (error) {
      return error as Error & { code: string; details: object }
    }
    return undefined
  }
  const freebsd = missing(root, { platform: 'freebsd', arch: 'riscv64', libc: null, glibcVersion: null })
  t.match(freebsd, {
    code: 'E_LOAD',
    details: { reason: 'missing' },
    message:
      /no native addon for freebsd-riscv64[\s\S]*freebsd-riscv64 \(not there\)[\s\S]*linux-arm64 \(glibc, musl\)[\s\S]*npm run build/,
  })
  const half = t.testdir({
    ...manifest,
    prebuilds: { 'linux-x64': { 'fedlora.glibc.node': '' }, empty: {}, 'sbom.cdx.json': '' },
  })
  const lacking = missing(half, musl)
  t.match(lacking?.message, /no native addon for linux-x64 \(musl\)/)
  t.match(lacking?.message, /linux-x64 \(fedlora\.glibc\.node\)/, 'what lies there is named, and is for another')
  t.match(lacking?.message, /brings binaries for linux-x64 \(glibc\); build one/, 'an empty folder counts as none')
  t.match(lacking?.message, /npx fedlora build/, 'a package, not a checkout')
  t.match(missing('/nowhere', mac)?.message, /brings no binary/)
})

/** A package whose addon for this machine are these bytes. */
function packageWith(t: Test, bytes: Buffer, machine = glibc): string {
  const root = t.testdir(manifest)
  const { path } = chooseAddonPath(root, machine)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, bytes)
  return root
}

function chooseAddonPath(root: string, { platform, arch, libc }: Machine) {
  return { path: join(root, 'prebuilds', `${platform}-${arch}`, `fedlora${libc === null ? '' : `.${libc}`}.node`) }
}

t.test('an addon for another machine is refused before it is opened, with what is wrong and the cure', async (t) => {
  const refused = (bytes: Buffer, machine: Machine, reason: string, message: RegExp) =>
    t.throws(() => openNative(packageWith(t, bytes, machine), machine), {
      code: 'E_LOAD',
      message,
      details: { reason },
    })
  const elf = (machine: number, libraries: string[], versions: string[] = []) => elfOf({ machine, libraries, versions })
  const here = new RegExp(`Node ${process.version} for linux-x64 \\(glibc 2\\.36\\)[\\s\\S]*Install the package anew`)
  refused(elf(183, ['libc.so.6']), glibc, 'architecture', /it is an ELF binary for linux-arm64/)
  refused(elf(183, ['libc.so.6']), glibc, 'architecture', here)
  refused(headOf.machO(0x0100000c), glibc, 'architecture', /a Mach-O binary for darwin-arm64/)
  refused(headOf.universal([0x01000007, 0x0100000c]), windows, 'architecture', /darwin-x64\+arm64/)
  refused(headOf.pe(0x8664), mac, 'architecture', /PE binary for win32-x64/)
  refused(elf(62, ['libc.so']), glibc, 'libc', /linked with musl/)
  refused(elf(62, ['libc.so.6'], ['2.2.5']), musl, 'libc', /linked with glibc/)
  refused(
    elf(62, ['libc.so.6'], ['2.4', '2.37', '2.5']),
    glibc,
    'glibc',
    /needs glibc 2\.37 or newer, and 2\.36 runs here[\s\S]*Use a newer system.*npx fedlora build/,
  )
  refused(Buffer.alloc(0), glibc, 'damaged', /no shared library, or cut off: 0 bytes/)
  refused(Buffer.from('version https://git-lfs'), mac, 'damaged', /23 bytes that begin with 'version https:\/\/'/)
  // Nothing is wrong that we know of: the system's own words stand.
  const fits = elf(62, ['libc.so.6'], ['2.36'])
  if (process.arch === 'x64') refused(fits, glibc, 'refused', /cannot be used: .+\. This is Node/)
})

t.test('the addon of this checkout, altered byte by byte', { skip: process.platform !== 'linux' }, async (t) => {
  const machine = thisMachine()
  const bytes = readFileSync(built)
  openNative(packageWith(t, bytes, machine))
  const altered = (from: string, to: string) => {
    const copy = Buffer.from(bytes)
    let at = copy.indexOf(from, 0, 'latin1')
    t.ok(at > 0, `${JSON.stringify(from)} is in it`)
    for (; at >= 0; at = copy.indexOf(from, at + 1, 'latin1')) copy.write(to, at, 'latin1')
    return packageWith(t, copy, machine)
  }
  const asked = /GLIBC_2\.\d\d\0/.exec(bytes.toString('latin1'))![0]
  t.throws(() => openNative(altered(asked, 'GLIBC_2.99\0')), { message: /needs glibc 2\.99 or newer/ })
  t.throws(() => openNative(altered('libc.so.6\0', 'libc.so\0\0\0')), { message: /linked with musl/ })
  t.throws(() => openNative(packageWith(t, bytes.subarray(0, 100_000), machine)), {
    code: 'E_LOAD',
    details: { reason: 'damaged' },
  })
})

t.test('a build that does not fit is to be removed; FEDLORA_PREBUILD to be unset', async (t) => {
  const root = t.testdir({ ...manifest, build: { Release: { 'fedlora.node': 'nothing' } } })
  t.throws(() => openNative(root, glibc), { details: { from: 'build' }, message: /remove .*build[\\/]Release/ })
  process.env.FEDLORA_PREBUILD = packageWith(t, headOf.pe(0x8664))
  t.teardown(() => delete process.env.FEDLORA_PREBUILD)
  t.throws(() => openNative(packageRoot(), glibc), { message: /win32-x64[\s\S]*Unset FEDLORA_PREBUILD/ })
})

t.test('beside the program that runs: where packagers put it', { skip: process.platform !== 'linux' }, async (t) => {
  const folder = t.testdir({ app: manifest, bin: {} })
  const node = join(folder, 'bin', 'node')
  copyFileSync(process.execPath, node)
  const addon = chooseAddonPath(join(folder, 'bin'), thisMachine()).path
  mkdirSync(dirname(addon), { recursive: true })
  copyFileSync(built, addon)
  const program = `const { chooseAddon } = await import(${compiled})
    console.log(JSON.stringify(chooseAddon(${JSON.stringify(join(folder, 'app'))})))`
  const said = spawnSync(node, ['--input-type=module', '-e', program], { encoding: 'utf8', env: plain })
  t.match(JSON.parse(said.stdout), { path: addon, from: 'executable', why: /beside the program/ }, said.stderr)
})
