/** A CUDA device that cannot be used is refused with its code and cure, by the API, the command line, estimate and doctor; never replaced. */
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import t from 'tap'
import { cudaInfo, estimate, isFedloraError, loadModel } from '../../dist/index.js'
import { native } from '../../dist/native/load.js'
import { goldenFolder } from '../support/golden-model.js'

const model = goldenFolder('llama')
const absent = join(t.testdir(), 'libfedlora_cuda.so')

function fedlora(words: string[], cuda = absent) {
  const env = { ...process.env, NODE_OPTIONS: '', FEDLORA_CUDA: cuda }
  return spawnSync(process.execPath, [resolve('dist/cli/main.js'), ...words], { encoding: 'utf8', env })
}

t.before(() => {
  process.env.FEDLORA_CUDA = absent
})

t.test('loadModel and estimate', async (t) => {
  for (const device of ['cuda', 'cuda:1'] as const) {
    for (const work of [() => loadModel(model, { device }), () => estimate({ model, device })]) {
      const error = await work().then(
        () => undefined,
        (error: unknown) => error,
      )
      t.ok(isFedloraError(error, 'E_CUDA_LIBRARY'))
      t.match(error, { message: new RegExp(`${absent}[^]*device 'cpu'`) })
    }
  }
  using loaded = await loadModel(model, { device: 'cpu' })
  t.equal(loaded.options.device, 'cpu')
  t.notOk('cudaLibraries' in loaded.options)
  t.equal((await estimate({ model })).deviceMemory, null)
})

t.test('devices that have no such name', async (t) => {
  for (const device of ['gpu', 'cuda:', 'cuda:x', 'cuda:-1', 'cuda:12345', 'CUDA', 1, null]) {
    await t.rejects(
      loadModel(model, { device: device as 'cpu' }),
      { code: 'E_CONFIG', message: /device: got/ },
      `${device}`,
    )
  }
  const request = { files: [], description: {}, device: 'cuda:1.5' } as never
  t.throws(() => native().loadModel(request), { code: 'E_ARGUMENT' })
})

t.test('what is no CUDA library', async (t) => {
  const addon = fedlora(['doctor', '--json'], resolve('build/Release/fedlora.node'))
  t.match(JSON.parse(addon.stdout.trim().split('\n').at(-1)!).cuda, {
    code: 'E_CUDA_ABI',
    problem: /no symbol fedlora_cuda_v1/,
  })
  const text = fedlora(['doctor', '--json'], resolve('package.json'))
  t.match(JSON.parse(text.stdout.trim().split('\n').at(-1)!).cuda, {
    code: 'E_CUDA_LIBRARY',
    problem: /cannot be opened/,
  })
})

t.test('the command line', async (t) => {
  const words = ['--model', model, '--device', 'cuda']
  const generate = fedlora(['generate', ...words, '--prompt', 'a', '--json'])
  t.match(generate, { status: 1, stderr: /E_CUDA_LIBRARY/ })
  t.match(fedlora(['generate', '--model', model, '--device', 'gpu', '--prompt', 'a']), {
    status: 2,
    stderr: /'cpu', 'cuda' or 'cuda:N'/,
  })
  for (const command of ['train', 'eval', 'simulate', 'chat']) {
    t.match(fedlora([command, '--help']).stdout, /--device/, command)
  }
})

t.test('doctor tells where it looked and what is missing, and fails for neither', async (t) => {
  const said = fedlora(['doctor'])
  t.equal(said.status, 0)
  t.match(said.stdout, /CUDA devices:\n {2}not usable: E_CUDA_LIBRARY: .*FEDLORA_CUDA/)
  t.match(said.stdout, `looked for: ${absent} (not there)`)
  t.match(cudaInfo(), {
    library: null,
    code: 'E_CUDA_LIBRARY',
    looked: [{ place: absent, problem: 'not there' }],
    driver: null,
    runtime: null,
    devices: [],
  })
})
