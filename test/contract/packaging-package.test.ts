// What the published package promises: no install scripts, no binding.gyp, a lock file that any registry can serve; and the
// judges of the packaging scripts, each with something that they must call wrong.
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { judgeDemo } from '../../scripts/check-demo.mjs'
import { inspectPackage } from '../../scripts/check-pack.mjs'
import { hashFiles, isFresh, listFiles } from '../../scripts/lib/project.mjs'
import { prebuiltFile } from '../../scripts/lib/targets.mjs'
import { dependencyGap } from '../../scripts/setup.mjs'
import { thisMachine } from '../../src/native/choice.js'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const readJson = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8'))
const manifest = readJson('package.json')
const lock = readJson('package-lock.json')

t.test('package.json', async (t) => {
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
    t.notOk(name in manifest.scripts, `no ${name}`)
  t.notOk(
    manifest.files.some((file: string) => /gyp|^test|^build/.test(file)),
    'binding.gyp stays out of the tarball',
  )
  t.ok(existsSync(join(root, 'binding.gyp')), 'and in the repository')
  t.equal(manifest.gypfile, false)
  t.same(manifest.binary.napi_versions, [9], 'cmake-js takes the headers from npm, not from the network')
  t.match(
    readFileSync(join(root, 'CMakeLists.txt'), 'utf8'),
    /NAPI_VERSION=9\b/,
    'the addon is compiled for the same one',
  )
})

/** Tools of a clone that have an install script and do without it: .npmrc lets none run. */
const withoutTheirs = ['node_modules/esbuild']

t.test('package-lock.json', async (t) => {
  t.match(readFileSync(join(root, '.npmrc'), 'utf8'), /^ignore-scripts=true$/m)
  t.equal(lock.packages[''].version, manifest.version)
  t.same(lock.packages[''].dependencies, manifest.dependencies)
  t.same(lock.packages[''].devDependencies, manifest.devDependencies)
  const problems: string[] = []
  for (const [path, entry] of Object.entries<Record<string, unknown>>(lock.packages)) {
    if (path === '') continue
    if (typeof entry.version !== 'string') problems.push(`${path} has no version`)
    // Optional packages for other platforms may come from a registry that does not serve them here.
    if (entry.integrity === undefined && !entry.optional) problems.push(`${path} has no integrity`)
    if (entry.hasInstallScript && !withoutTheirs.includes(path))
      problems.push(`${path} runs a script when it is installed`)
    if (withoutTheirs.includes(path) && !entry.dev) problems.push(`${path} reaches who installs the package`)
    const host = typeof entry.resolved === 'string' ? new URL(entry.resolved).host : undefined
    if (host !== undefined && host !== 'registry.npmjs.org') problems.push(`${path} comes from ${host}`)
    for (const name of Object.keys((entry.optionalDependencies ?? {}) as object)) {
      const places = [`${path}/node_modules/${name}`, `node_modules/${name}`]
      if (!places.some((place) => place in lock.packages))
        problems.push(`${name} of ${path} is not locked: npm ci refuses`)
    }
  }
  t.ok(Object.keys(lock.packages).length > 50)
  t.same(problems, [])
})

t.test('dependencyGap sees what npm ci would have to mend', async (t) => {
  const wanted = {
    packages: {
      '': {},
      'node_modules/a': { version: '1.0.0' },
      'node_modules/b': { version: '2.0.0', optional: true },
    },
  }
  t.equal(dependencyGap(wanted, undefined), 'are not installed')
  t.equal(
    dependencyGap(wanted, { packages: { 'node_modules/a': { version: '1.0.0' } } }),
    undefined,
    'optional ones may be absent',
  )
  t.match(dependencyGap(wanted, { packages: {} }), /differ.*\(a\)/)
  t.match(dependencyGap(wanted, { packages: { 'node_modules/a': { version: '1.0.1' } } }), /differ.*\(a\)/)
  const other = { packages: { 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': { version: '2.0.1' } } }
  t.match(dependencyGap(wanted, other), /differ.*\(b\)/)
})

t.test('stamps follow content', async (t) => {
  const files = listFiles('native/base', /\.h$/)
  t.ok(files.length > 0)
  t.equal(hashFiles(files), hashFiles(files))
  t.not(hashFiles(files), hashFiles(files.slice(1)), 'a file less')
  t.not(hashFiles(files), hashFiles([...files].reverse()), 'names count, not only content')
  t.not(hashFiles(files), hashFiles(files, 'elsewhere'), 'another folder')
  t.notOk(isFresh('addon', 'another hash'))
})

t.test('inspectPackage: what must and must not be inside', async (t) => {
  const binary = basename(prebuiltFile(thisMachine()))
  const sound = {
    'package.json': '{}',
    'README.md': '',
    'CHANGELOG.md': '',
    LICENSE: '',
    'CMakeLists.txt': '',
    scripts: { 'build-native.mjs': '' },
    dist: {
      'index.js': '',
      'index.d.ts': '',
      federated: { 'index.js': '' },
      client: { 'index.js': '' },
      server: { 'index.js': '' },
      privacy: { 'index.js': '' },
      flower: { 'index.js': '' },
      cli: { 'main.js': '' },
    },
    assets: { 'gsm-3m-nf4': { 'model.safetensors': '' } },
    prebuilds: { [`${process.platform}-${process.arch}`]: { [binary]: '' } },
  }
  const place = ['', 'home', 'builder', ''].join('/')
  const inspect = (extra: object) => inspectPackage(t.testdir({ ...sound, ...extra }), [place])
  t.same(inspect({}), [])
  t.match(inspect({ 'binding.gyp': '' }), [/binding\.gyp does not belong/])
  t.match(inspect({ test: { 'a.ts': '' } }), [/test\/a\.ts does not belong/])
  t.match(inspect({ dist: { ...sound.dist, 'index.js.map': '' } }), [/dist\/index\.js\.map does not belong/])
  t.match(inspect({ assets: { ...sound.assets, 'gsm-3m': { 'model.safetensors': '' } } }), [
    /assets\/gsm-3m\/.* does not belong/,
  ])
  t.same(inspect({ native: { 'exports.map': '' } }), [], 'a linker’s map is a source')
  t.match(inspect({ 'package.json': '{"scripts":{"install":"node-gyp-build"}}' }), [/install script install/])
  t.match(inspect({ prebuilds: {} }), [/prebuilds\/.* is missing/])
  t.match(inspect({ 'README.md': `made in ${place}x` }), [`README.md names ${place}`])
})

t.test('judgeDemo: a demo that falls short is told so', async (t) => {
  const golden = readJson('test/golden/demo.json')
  const sound = {
    base: golden.base,
    alone: golden.alone,
    federated: golden.federated,
    allData: golden.all_data,
    bytesUp: 100,
    bytesUpRaw: 800,
    bytesDown: 100,
    tokensPerSecond: 1,
    seconds: 1,
    peakRssMiB: 300,
  }
  t.same(judgeDemo(sound, golden), [], 'PyTorch itself passes')
  const broken: [string, object][] = [
    ['an untrained federation', { federated: golden.base }],
    ['no number', { federated: { loss: Number.NaN } }],
    ['another base', { base: { loss: golden.base.loss * 1.04 } }],
    ['a client too many', { alone: [...golden.alone, golden.alone[0]] }],
    ['a client that learns too well', { alone: golden.alone.map(() => ({ loss: 1 })) }],
    ['raw uploads', { bytesUp: 800 }],
    ['too much memory', { peakRssMiB: 351 }],
    ['no memory figure', { peakRssMiB: undefined }],
    ['nothing sent down', { bytesDown: 0 }],
  ]
  for (const [what, change] of broken) t.not(judgeDemo({ ...sound, ...change }, golden).length, 0, `canary: ${what}`)
  t.not(judgeDemo({}, golden).length, 0, 'canary: an empty result')
})
