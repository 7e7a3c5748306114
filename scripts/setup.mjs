#!/usr/bin/env node
// Makes the checkout ready: npm dependencies, native addon, TypeScript build; with --tests the native test programs too.
// Each step runs only when something it stands on has changed, says so, and costs nothing otherwise.
// Runs with plain Node on a fresh clone: it imports nothing that npm would have to install.
//
// Usage: node scripts/setup.mjs [--tests]
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { addon, buildNative, testPrograms } from './build-native.mjs'
import { hashFiles, isFresh, listFiles, packageProgram, root, run, runMain, writeStamp } from './lib/project.mjs'
import { checkNode, checkToolchain } from './lib/toolchain.mjs'

/** Says what is done and how long it took. Progress belongs to stderr: stdout is the command's that follows. */
async function step(text, work) {
  console.error(`setup: ${text}`)
  const start = performance.now()
  await work()
  console.error(`setup: done in ${((performance.now() - start) / 1000).toFixed(1)} s`)
}

/**
 * Why node_modules does not hold what package-lock.json says, or undefined when it does. npm keeps its own record of what
 * it installed; packages for other systems are absent from it, which is right.
 */
export function dependencyGap(wanted, installed) {
  if (installed === undefined) return 'are not installed'
  for (const [path, entry] of Object.entries(wanted.packages)) {
    if (path === '' || (entry.optional && !installed.packages[path])) continue
    if (installed.packages[path]?.version !== entry.version) {
      return `differ from package-lock.json (${path.replace(/^.*node_modules\//, '')})`
    }
  }
  return undefined
}

const readJson = (path) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined)

async function installDependencies() {
  const wanted = readJson(join(root, 'package-lock.json'))
  const gap = dependencyGap(wanted, readJson(join(root, 'node_modules', '.package-lock.json')))
  if (gap === undefined) return
  await step(`npm dependencies ${gap}: npm ci`, () => {
    run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { quiet: true })
  })
}

async function buildEngine(tests) {
  const sources = [
    'CMakeLists.txt',
    'package-lock.json',
    'scripts/build-native.mjs',
    ...listFiles('native', /\.(h|cpp|def|inc|inl|map)$/),
  ]
  // The folder is part of the stamp: test programs know where the golden tensors lie.
  const addonHash = hashFiles(sources, root)
  const addonFresh = existsSync(addon) && isFresh('addon', addonHash)
  const testHash = tests ? hashFiles(listFiles('test/native', /\.(h|cpp)$/), addonHash) : ''
  const testsFresh = !tests || (existsSync(testPrograms) && isFresh('tests', testHash))
  if (addonFresh && testsFresh) return
  const what = addonFresh ? 'native tests' : tests ? 'native addon and tests' : 'native addon'
  const reason = addonFresh ? existsSync(testPrograms) : existsSync(addon)
  await step(`${what} ${reason ? 'changed' : 'not built'}: CMake (minutes the first time, seconds later)`, () => {
    buildNative({ tests })
    writeStamp('addon', addonHash)
    if (tests) writeStamp('tests', testHash)
  })
}

async function buildTypeScript() {
  const inputs = ['tsconfig.json', 'package-lock.json', 'scripts/document-types.mjs', ...listFiles('src', /\.ts$/)]
  const hash = hashFiles(inputs)
  const output = join(root, 'dist')
  const types = join(output, 'index.d.ts')
  // A plain tsc writes the types anew, without their words: what was built is known by when it was written, too.
  const stamp = () => `${hash} ${existsSync(types) ? statSync(types).mtimeMs : 'none'}`
  if (isFresh('typescript', stamp())) return
  await step(`TypeScript ${existsSync(output) ? 'changed' : 'not built'}: tsc`, async () => {
    rmSync(output, { recursive: true, force: true }) // a file that is gone from src must not stay in the package
    const [node, tsc] = packageProgram('typescript', 'tsc')
    run(node, [tsc, '-p', '.'])
    const { documentDist } = await import('./document-types.mjs')
    await documentDist()
    writeStamp('typescript', stamp())
  })
}

/**
 * tap puts its plugins together by .taprc, in node_modules; left to its first run, that run would still have those of before. The stamp lies there
 * too: npm ci takes both away.
 */
async function buildTestRunner() {
  const stamp = join(root, 'node_modules', '.fedlora-tap')
  const hash = hashFiles(['.taprc', 'package-lock.json'])
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return
  await step("tap's plugins are not put together: tap build", () => {
    const [node, tap] = packageProgram('tap')
    run(node, [tap, 'build'], { quiet: true })
    writeFileSync(stamp, hash)
  })
}

await runMain(import.meta, 'setup', async () => {
  const { values } = parseArgs({ options: { tests: { type: 'boolean', default: false } } })
  checkNode()
  if (!existsSync(addon)) checkToolchain() // before the downloads, not after
  await installDependencies()
  if (values.tests) await buildTestRunner()
  await buildEngine(values.tests)
  await buildTypeScript()
})
