/** A bundler that takes fedlora into its bundle leaves the addon behind: what that says, and that nothing fails on import. */
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import { makeFolder } from '../../src/files/atomic.js'
import { packageRootOf } from '../../src/native/load.js'
import { temporaryFolder } from '../support/train.js'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const bundled = { code: 'E_LOAD', message: /bundler.*--external:fedlora/s }

/** The built package with `import.meta.url` as a bundler leaves it: undefined in CommonJS, the bundle's own place in modules. */
function bundle(url: 'undefined' | 'import.meta.url'): string {
  const folder = temporaryFolder('bundled')
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module", "name": "an-application" }')
  for (const name of readdirSync(join(folder, 'dist'), { recursive: true }) as string[]) {
    if (!name.endsWith('.js')) continue
    const text = readFileSync(join(folder, 'dist', name), 'utf8')
    writeFileSync(join(folder, 'dist', name), text.replaceAll('import.meta.url', url))
  }
  return pathToFileURL(join(folder, 'dist', 'index.js')).href
}

t.test('the package’s root is known to its own modules alone', async (t) => {
  t.equal(packageRootOf(pathToFileURL(join(root, 'src', 'native', 'load.ts')).href), join(root, '/'))
  t.throws(() => packageRootOf(undefined), bundled)
  t.throws(() => packageRootOf('file:///app/dist/bundle.js'), bundled)
  t.throws(() => packageRootOf(pathToFileURL(join(root, 'test', 'golden', 'models', 'x.js')).href), bundled)
})

for (const url of ['undefined', 'import.meta.url'] as const) {
  t.test(`bundled, import.meta.url is ${url}: imports work, the first use is E_LOAD`, async (t) => {
    const { loadModel, loadDataset } = (await import(bundle(url))) as typeof import('../../src/index.js')
    await t.rejects(loadModel(join(root, 'assets', 'gsm-3m')), bundled)
    const data = await loadDataset([{ text: 'a' }], { format: 'text' })
    t.equal(data.length, 1, 'what needs no addon works')
    const table = join(root, 'test', 'golden', 'parquet', 'snappy.parquet')
    const read = loadDataset(table, { format: 'alpaca' })
    if (url === 'undefined') await t.rejects(read, bundled, 'Parquet needs a file beside its own')
    else t.equal((await read).length, 12, 'which is found where the bundle has it')
  })
}

t.test('a folder that refuses new entries ends with a coded error, at once', async (t) => {
  for (const path of ['/proc/fedlora', '/proc/fedlora/deep/er']) {
    await t.rejects(makeFolder(path), { code: 'E_IO', message: /cannot make '\/proc\/fedlora/ })
  }
  const folder = temporaryFolder('make')
  t.equal(await makeFolder(join(folder, 'a', 'b')), join(folder, 'a'), 'the highest that was made')
  t.equal(await makeFolder(join(folder, 'a', 'b')), undefined)
})
