// The package as a stranger has it: installed from its tarball into an empty folder, install scripts disabled, and used there.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { lastJson, run, ScriptError } from './project.mjs'

// npm tells its scripts about the project it runs them in; a second npm in another folder must not hear of it.
export const cleanEnv = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle)_|npm_config_local_prefix|INIT_CWD)/i.test(name),
  ),
)

const useLibrary = `
import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadDataset, loadModel, train } from 'fedlora'
import { simulate } from 'fedlora/federated'
import { epsilon } from 'fedlora/privacy'
import { joinFederation } from 'fedlora/client'
import { createServer } from 'fedlora/server'
import { joinFlower } from 'fedlora/flower'
if (typeof joinFederation !== 'function') throw new Error('fedlora/client exports no joinFederation')
if (typeof createServer !== 'function') throw new Error('fedlora/server exports no createServer')
if (typeof joinFlower !== 'function') throw new Error('fedlora/flower exports no joinFlower')
if (typeof simulate !== 'function') throw new Error('fedlora/federated exports no simulate')
if (!(epsilon({ sampleRate: 1, noiseMultiplier: 1, steps: 1, delta: 1e-5 }).epsilon < 4.4)) throw new Error('fedlora/privacy gives another epsilon')
if (createRequire(import.meta.url)('fedlora').loadModel !== loadModel) throw new Error('require() gives another module')
const folder = join(dirname(fileURLToPath(import.meta.resolve('fedlora/package.json'))), 'assets', 'gsm-3m-nf4')
const model = await loadModel(folder, { quantization: 'nf4', threads: 2 })
const adapter = model.createAdapter({ rank: 4, alpha: 8, seed: 1 })
const rows = Array.from({ length: 4 }, (_, i) => ({ question: \`What is \${i} + 1?\`, answer: \`\${i} + 1 = \${i + 1}\\n#### \${i + 1}\` }))
const data = await loadDataset(rows, { format: 'gsm8k', maxLength: 128, tokenizer: model })
const result = await train(adapter, data, { maxSteps: 2, batchSize: 2, learningRate: 1e-3, seed: 1 })
if (result.steps !== 2 || !Number.isFinite(result.loss)) throw new Error('training gave ' + JSON.stringify(result))
await adapter.save('adapter')
if (!existsSync('adapter/adapter_model.safetensors')) throw new Error('no adapter was saved')
console.log('pack: trained', result.steps, 'steps, loss', result.loss.toFixed(4))
`

/** `npm pack` of this checkout into `folder`; the path of the tarball. */
export function packTarball(folder) {
  const words = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder, '--loglevel=error']
  const [{ filename }] = Object.values(JSON.parse(run('npm', words, { capture: true, env: cleanEnv })))
  return join(folder, filename)
}

/** Installs the tarball into a new `folder`; the names of all packages that came. */
export function installTarball(folder, tarball) {
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }\n')
  const options = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  run('npm', ['install', ...options, tarball], { cwd: folder, env: cleanEnv, quiet: true })
  return readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))
}

/** Imports, requires, trains two steps and saves an adapter. */
export function trainThere(folder, env = {}) {
  writeFileSync(join(folder, 'use.mjs'), useLibrary)
  run(process.execPath, ['use.mjs'], { cwd: folder, env: { ...cleanEnv, ...env } })
}

/** Runs the installed `fedlora`; without npx, which Windows starts by a shell alone. */
export function commandThere(folder, args, { env = {}, capture = false } = {}) {
  const main = join('node_modules', 'fedlora', 'dist', 'cli', 'main.js')
  return run(process.execPath, [main, ...args], { cwd: folder, env: { ...cleanEnv, ...env }, capture })
}

/** The result of `fedlora doctor --json`, which must name the prebuilt addon. */
export function prebuiltThere(folder, env = {}) {
  const last = lastJson(commandThere(folder, ['doctor', '--json'], { env, capture: true }))
  if (last.type !== 'result')
    throw new ScriptError('E_PACK', `doctor's last line is no result: ${JSON.stringify(last)}`)
  if (last.addonFrom !== 'prebuilds')
    throw new ScriptError('E_PACK', `the addon is not the prebuilt one: ${last.addonWhy}`)
  return last
}
