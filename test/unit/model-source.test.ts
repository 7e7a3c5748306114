/** A model by its folder, by a file in it, by its id in the Hugging Face cache: found offline, or told where was looked. */
import { cpSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import { findModel, hubCache } from '../../src/files/model-source.js'
import { estimate, loadModel, loadTokenizer, quantizeModel, readModelConfig } from '../../src/index.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder } from '../support/train.js'

const commit = '0123456789abcdef0123456789abcdef01234567'
const older = 'fedcba9876543210fedcba9876543210fedcba98'

/** A cache as huggingface_hub lays it out: blobs, and snapshots of links. */
function makeCache(): string {
  const cache = temporaryFolder('hub')
  const repository = join(cache, 'models--acme--tiny-llama')
  mkdirSync(join(repository, 'blobs'), { recursive: true })
  mkdirSync(join(repository, 'refs', 'pr'), { recursive: true })
  writeFileSync(join(repository, 'refs', 'main'), commit)
  writeFileSync(join(repository, 'refs', 'pr', '1'), `${older}\n`)
  for (const [snapshot, files] of [
    [commit, ['config.json', 'model.safetensors', 'generation_config.json']],
    [older, ['config.json', 'model.safetensors']],
  ] as const) {
    mkdirSync(join(repository, 'snapshots', snapshot), { recursive: true })
    for (const file of files) {
      cpSync(join(goldenFolder('llama'), file), join(repository, 'blobs', `${snapshot}-${file}`))
      symlinkSync(join('..', '..', 'blobs', `${snapshot}-${file}`), join(repository, 'snapshots', snapshot, file))
    }
  }
  mkdirSync(join(cache, 'models--gpt2', 'snapshots', older), { recursive: true })
  return cache
}

const cache = makeCache()
const snapshot = (name: string) => join(cache, 'models--acme--tiny-llama', 'snapshots', name)

t.before(() => {
  process.env.HF_HUB_CACHE = cache
})

t.test('where the cache is', (t) => {
  t.equal(hubCache({ HF_HUB_CACHE: '/a', HF_HOME: '/b' }), '/a')
  t.equal(hubCache({ HUGGINGFACE_HUB_CACHE: '/a', HF_HOME: '/b' }), '/a')
  t.equal(hubCache({ HF_HOME: '/b', XDG_CACHE_HOME: '/c' }), '/b/hub')
  t.equal(hubCache({ XDG_CACHE_HOME: '/c' }), '/c/huggingface/hub')
  t.equal(hubCache({}), join(homedir(), '.cache/huggingface/hub'))
  t.equal(hubCache({ HF_HOME: '~/hf' }), join(homedir(), 'hf/hub'))
  t.end()
})

t.test('every name of a model', async (t) => {
  t.same(await findModel('acme/tiny-llama'), { folder: snapshot(commit), id: 'acme/tiny-llama' })
  t.same(await findModel('acme/tiny-llama@pr/1'), {
    folder: snapshot(older),
    id: 'acme/tiny-llama',
    revision: 'pr/1',
  })
  t.same(await findModel(`acme/tiny-llama@${older}`), {
    folder: snapshot(older),
    id: 'acme/tiny-llama',
    revision: older,
  })
  t.same(await findModel(snapshot(older)), { folder: snapshot(older), id: 'acme/tiny-llama' }, 'by its path there')
  t.same(await findModel(goldenFolder('llama')), { folder: goldenFolder('llama') })
  const file = join(goldenFolder('llama'), 'model.safetensors')
  t.same(await findModel(file), { folder: goldenFolder('llama'), file })
  t.same(await findModel(join(goldenFolder('llama'), 'config.json')), { folder: goldenFolder('llama') })
  t.same(await findModel('src/model'), { folder: resolve('src/model') }, 'a path goes before an id')
})

t.test('what is not found says where was looked and the cure', async (t) => {
  const message = (name: string) =>
    findModel(name).then(
      () => '',
      (error) => `${error.code} ${error.message}`,
    )
  t.match(await message('acme/other'), /^E_MISSING .*models--acme--other.*hf download acme\/other.*HF_HUB_CACHE/)
  t.match(
    await message('./acme/other'),
    /^E_MISSING .*'\.\/acme\/other' does not exist \(looked for '\/.*config\.json'/,
  )
  t.match(await message('/nowhere/at/all'), /^E_MISSING .*does not exist/)
  t.match(
    await message('acme/tiny-llama@v9'),
    /^E_MISSING .*revision 'v9'.*main, pr.*hf download acme\/tiny-llama --revision v9/,
  )
  t.match(await message('gpt2'), new RegExp(`^E_MISSING .*revision 'main'.*has ${older}`), 'no refs/main')
  t.match(await message('acme/tiny-llama@..'), /^E_MISSING .*revision/)
  t.match(await message('package.json'), /^E_UNSUPPORTED .*package\.json/)
  const pickle = join(temporaryFolder('pickle'), 'pytorch_model.bin')
  writeFileSync(pickle, '')
  t.match(await message(pickle), /^E_UNSUPPORTED .*pickle.*safe_serialization/)
  t.match(await message(' '), /^E_ARGUMENT/)
})

t.test('everywhere a model is named', async (t) => {
  using model = await loadModel('acme/tiny-llama', { threads: 1 })
  t.equal(model.path, snapshot(commit))
  t.equal((await readModelConfig('acme/tiny-llama')).family, 'llama')
  t.ok((await estimate({ model: 'acme/tiny-llama' })).weights > 0)
  const output = join(temporaryFolder('quantised'), 'nf4')
  t.equal((await quantizeModel('acme/tiny-llama', output, { threads: 1 })).quantized, 14)
  await t.rejects(
    loadTokenizer('acme/tiny-llama'),
    { code: 'E_TOKENIZER', message: /snapshots/ },
    'found, but it has none',
  )
  const refused: (() => Promise<unknown>)[] = [
    () => loadModel('acme/none'),
    () => readModelConfig('acme/none'),
    () => estimate({ model: 'acme/none' }),
    () => quantizeModel('acme/none', join(output, 'x')),
    () => model.loadAdapter('acme/none'),
  ]
  for (const call of refused) await t.rejects(call, { code: 'E_MISSING', message: /hf download acme\/none/ })
  await t.rejects(loadTokenizer('acme/none'), { code: 'E_TOKENIZER', message: /hf download acme\/none/ })
})

t.test('one file of a folder: a whole model, or a shard that stands for all', async (t) => {
  const folder = temporaryFolder('named')
  for (const one of ['config.json', 'model.safetensors']) cpSync(join(goldenFolder('llama'), one), join(folder, one))
  const file = join(folder, 'renamed.safetensors')
  renameSync(join(folder, 'model.safetensors'), file)
  await t.rejects(loadModel(folder), { code: 'E_MISSING', message: /'renamed\.safetensors': name the file itself/ })
  using model = await loadModel(file, { threads: 1 })
  t.same(model.files, [file])
})

t.test('what adapters call their base', async (t) => {
  const saved = async (name: string, options: { baseModelName?: string } = {}) => {
    using model = await loadModel(name, { threads: 1, ...options })
    using adapter = model.createAdapter({ rank: 1, targetModules: ['q_proj'] })
    const folder = temporaryFolder('adapter')
    await adapter.save(folder)
    const text = readFileSync(join(folder, 'adapter_config.json'), 'utf8')
    const { base_model_name_or_path, revision } = JSON.parse(text) as Record<string, unknown>
    return [base_model_name_or_path, revision, text.includes(process.cwd()) || text.includes(cache)]
  }
  t.same(await saved('acme/tiny-llama'), ['acme/tiny-llama', null, false])
  t.same(await saved(`acme/tiny-llama@${older}`), ['acme/tiny-llama', older, false])
  t.same(await saved(snapshot(older)), ['acme/tiny-llama', null, false])
  t.same(await saved(goldenFolder('llama')), ['./llama', null, false], 'no path of this machine')
  t.same(await saved(goldenFolder('llama'), { baseModelName: 'acme/base' }), ['acme/base', null, false])
})
