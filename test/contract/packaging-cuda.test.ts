/** The package of the CUDA library: for whom it is, and that fedlora itself asks nobody for it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cudaManifest } from '../../scripts/prebuild-cuda.mjs'
import { root } from '../support/shipped.js'

const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

t.test('its package.json', async (t) => {
  const manifest = cudaManifest(own)
  t.match(manifest, {
    name: '@fedlora/cuda-linux-x64',
    version: own.version,
    license: own.license,
    os: ['linux'],
    cpu: ['x64'],
    files: ['libfedlora_cuda.so'],
    exports: { './package.json': './package.json' },
  })
  for (const name of ['scripts', 'dependencies', 'main', 'bin']) t.notOk(name in manifest, `no ${name}`)
})

t.test('fedlora does not depend on it', async (t) => {
  for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies', 'devDependencies'])
    t.notOk(
      Object.keys(own[kind] ?? {}).some((name) => name.startsWith('@fedlora/')),
      kind,
    )
  t.ok(own.files.includes('scripts/build-cuda.mjs'), 'but brings what builds the library')
})
