#!/usr/bin/env node
import { spawnSync } from 'node:child_process'
// Packs the package with the prebuilt binary, looks at what is inside, installs it as a stranger would (an empty folder,
// install scripts disabled) and uses it there: import, require, types, command line, two steps of training. Then without the
// prebuilt binary, as on a platform that has none: what is said, and `fedlora build` from the sources in the package.
//
// Usage: node scripts/check-pack.mjs [--keep]    (after `npm run prebuild`; --keep leaves the folder and names it)
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { thisMachine } from '../dist/native/choice.js'
import { cleanEnv, installTarball, packTarball, prebuiltThere, trainThere } from './lib/consumer.mjs'
import { listFiles, packageProgram, probe, root, run, runMain, ScriptError } from './lib/project.mjs'
import { prebuiltFile } from './lib/targets.mjs'

export const maximumBytes = 14e6
const installScripts = ['preinstall', 'install', 'postinstall', 'prepare']
const needed = [
  'dist/index.js',
  'dist/index.d.ts',
  'dist/federated/index.js',
  'dist/privacy/index.js',
  'dist/client/index.js',
  'dist/server/index.js',
  'dist/flower/index.js',
  'dist/cli/main.js',
  'CMakeLists.txt',
  'scripts/build-native.mjs',
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
  'assets/gsm-3m-nf4/model.safetensors',
  prebuiltFile(thisMachine()),
]
const unwanted = [
  /(^|\/)binding\.gyp$/,
  /^(test|build|node_modules|bench)\//,
  /\.npmrc$/,
  /\.log$/,
  /^dist\/.*\.map$/,
  /^assets\/gsm-3m\//, // twice the size of what is made of it
]

/** Everything that is wrong with an unpacked package. `places` are folders of this machine that nothing inside may name. */
export function inspectPackage(folder, places) {
  const problems = []
  const files = listFiles('.', /./, folder)
  for (const file of needed) if (!files.includes(file)) problems.push(`${file} is missing`)
  for (const file of files)
    if (unwanted.some((pattern) => pattern.test(file))) problems.push(`${file} does not belong there`)
  const { scripts = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  for (const name of installScripts) if (name in scripts) problems.push(`package.json has the install script ${name}`)
  for (const file of files) {
    const content = readFileSync(join(folder, file))
    for (const place of places) if (content.includes(place)) problems.push(`${file} names ${place}`)
  }
  return problems
}

const useTypes = `
import { type FedloraError, loadModel } from 'fedlora'
const model = await loadModel('somewhere', { quantization: 'nf4' })
export const bytes: number = model.memory.total
export const code = (error: FedloraError): string => error.code
`

async function check(folder) {
  const tarball = packTarball(folder)
  const bytes = statSync(tarball).size
  if (bytes > maximumBytes) throw new ScriptError('E_PACK', `the package has ${bytes} bytes, at most ${maximumBytes}`)

  const unpacked = join(folder, 'unpacked')
  mkdirSync(unpacked)
  run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1'])
  const problems = inspectPackage(unpacked, [`${root}/`, `${homedir()}/`])
  if (problems.length > 0) throw new ScriptError('E_PACK', `the package is wrong:\n  ${problems.join('\n  ')}`)
  console.log(
    `pack: ${basename(tarball)}, ${(bytes / 1e6).toFixed(2)} MB, ${listFiles('.', /./, unpacked).length} files`,
  )

  const consumer = join(folder, 'consumer')
  const installed = installTarball(consumer, tarball)
  console.log(`pack: installed with scripts disabled: ${installed.join(', ')}`)
  trainThere(consumer)
  console.log(`pack: fedlora doctor --json ends in a result: the addon is ${prebuiltThere(consumer).addonWhy}`)

  // Types as a consumer's compiler sees them. @types/node is ours to lend: the public types name Node's own.
  writeFileSync(join(consumer, 'use.ts'), useTypes)
  cpSync(join(root, 'node_modules', '@types', 'node'), join(consumer, 'node_modules', '@types', 'node'), {
    recursive: true,
  })
  const undici = join(root, 'node_modules', 'undici-types')
  if (existsSync(undici)) cpSync(undici, join(consumer, 'node_modules', 'undici-types'), { recursive: true })
  const [node, tsc] = packageProgram('typescript', 'tsc')
  const options = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--types',
    'node',
    '--skipLibCheck',
  ]
  run(node, [tsc, ...options, '--lib', 'es2023,esnext.disposable', 'use.ts'], { cwd: consumer, env: cleanEnv })
  console.log('pack: the types compile in a consumer')
  buildInPlace(consumer)
}

/** Takes the prebuilt binaries away and lets the package build its own. */
function buildInPlace(consumer) {
  rmSync(join(consumer, 'node_modules', 'fedlora', 'prebuilds'), { recursive: true })
  const fedlora = (command) =>
    spawnSync('npx', ['--no-install', 'fedlora', command], { cwd: consumer, env: cleanEnv, encoding: 'utf8' })
  const lost = fedlora('doctor')
  if (lost.status !== 1 || !/E_LOAD[\s\S]*npx fedlora build/.test(lost.stderr)) {
    throw new ScriptError('E_PACK', `without a binary, doctor ended with ${lost.status}: ${lost.stderr}`)
  }
  const built = fedlora('build')
  if (built.status !== 0) throw new ScriptError('E_PACK', `fedlora build ended with ${built.status}: ${built.stderr}`)
  trainThere(consumer)
  console.log(`pack: without a prebuilt binary: ${built.stdout.trim()}`)
}

await runMain(import.meta, 'check-pack', async () => {
  const { values } = parseArgs({ options: { keep: { type: 'boolean' } } })
  if (probe('npm', ['--version']) === undefined) throw new ScriptError('E_TOOL', 'npm is not on PATH')
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-pack-'))
  try {
    await check(folder)
  } finally {
    if (values.keep) console.log(`pack: left in ${folder}`)
    else rmSync(folder, { recursive: true, force: true })
  }
})
