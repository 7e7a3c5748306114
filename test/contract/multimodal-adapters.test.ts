/** Adapters that PEFT trained over a whole multimodal model: their text part is read by every spelling of names, the rest is told. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadTold } from '../../src/cli/open-model.js'
import { exportAdapter, loadModel } from '../../src/index.js'
import { goldenFolder, maxError } from '../support/golden-model.js'
import { multimodal, spellings } from '../support/multimodal.js'
import { GoldenFile } from '../support/safetensors.js'
import { temporaryFolder } from '../support/train.js'
import { assembleTensors, readTensors } from '../support/variant-folder.js'

const plain = { quantization: 'none', compute: 'f32', threads: 2 } as const
const folderOf = (kind: string) => join(goldenFolder('gemma3'), 'multimodal', kind)
const logitsOf = (kind: string) => {
  const golden = new GoldenFile(join(folderOf(kind), 'logits.safetensors'))
  return { ids: [...golden.get('input_ids').values] as number[], want: golden.get('logits').values as Float32Array }
}
/** Ten times PyTorch's own error in float32 at logits of a spread of 1. */
const bound = 3e-5

for (const base of ['whole', 'text']) {
  for (const kind of ['list', 'regex']) {
    t.test(`${kind}, over the ${base} model: PEFT's logits`, async (t) => {
      const { ids, want } = logitsOf(kind)
      const folder = base === 'whole' ? multimodal('gemma3', spellings.since!) : goldenFolder('gemma3')
      using model = await loadModel(folder, plain)
      using adapter = await model.loadAdapter(folderOf(kind))
      const error = maxError((await model.logits({ inputIds: [ids] }, { adapter })).data, want)
      t.ok(error <= bound, String(error))
      t.notOk(maxError((await model.logits({ inputIds: [ids] })).data, want) <= bound, 'canary: without it')
      t.equal(adapter.unusedTensors.length, kind === 'list' ? 4 : 0)
      t.ok(adapter.unusedTensors.every((name) => name.includes('.vision_tower.')))
      t.ok(adapter.targets.every((name) => /^model\.layers\.\d\./.test(name)))
      await adapter.save(join(t.testdir(), 'saved'))
      using again = await model.loadAdapter(join(t.testdirName, 'saved'))
      t.same(again.vector(), adapter.vector(), 'saved under the names of the text model')
    })
  }
}

t.test('ranks and alphas by patterns over the names of the whole', async (t) => {
  using model = await loadModel(goldenFolder('gemma3'), plain)
  using adapter = await model.loadAdapter(folderOf('list'))
  const ranks = adapter.layout.filter(({ part }) => part === 'lora_A').map(({ name, shape }) => [name, shape[0]])
  t.same(
    ranks.filter(([, rank]) => rank !== 2).map(([name]) => name),
    ['base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight'],
  )
})

/** The list's folder with its names in another spelling. */
function respelled(to: (module: string) => string, keep: (name: string) => boolean = () => true): string {
  const folder = join(temporaryFolder('adapter'), 'adapter')
  cpSync(folderOf('list'), folder, { recursive: true })
  const file = join(folder, 'adapter_model.safetensors')
  const before = 'base_model.model.'
  const name = (old: string) => {
    const module = old.slice(before.length).replace('model.language_model.', 'model.')
    return before + (module.includes('vision_tower') ? module : to(module))
  }
  const kept = [...readTensors(file)].filter(([old]) => keep(old))
  writeFileSync(file, assembleTensors(new Map(kept.map(([old, tensor]) => [name(old), tensor]))))
  const config = join(folder, 'adapter_config.json')
  const raw = JSON.parse(readFileSync(config, 'utf8'))
  const rank_pattern = { [to('model.layers.1.self_attn.q_proj')]: 3 }
  writeFileSync(config, JSON.stringify({ ...raw, rank_pattern, alpha_pattern: { v_proj: 7 } }))
  return folder
}

t.test('names before transformers 4.52, and of Idefics 3', async (t) => {
  const { ids, want } = logitsOf('list')
  using model = await loadModel(multimodal('gemma3', spellings.since!), plain)
  for (const [name, to] of Object.entries(spellings)) {
    using adapter = await model.loadAdapter(respelled(to))
    const error = maxError((await model.logits({ inputIds: [ids] }, { adapter })).data, want)
    t.ok(error <= bound, `${name}: ${error}`)
  }
})

t.test('what has no place is told; what a merge would lose is refused', async (t) => {
  const out = t.testdir()
  const folder = multimodal('gemma3', spellings.since!)
  using model = await loadModel(folder, plain)
  const lines: string[] = []
  using adapter = await loadTold(model, folderOf('list'), { note: (line) => lines.push(line) })
  t.match(lines, [
    /trained over a whole multimodal model: 4 tensors outside its text part are left out: .*vision_tower/,
  ])
  await t.rejects(adapter.merge(join(out, 'merged')), {
    code: 'E_UNSUPPORTED',
    message: /4 tensors outside the text part of gemma3, which the merged folder would lack.*Merge it with PEFT/,
  })
  await adapter.merge(join(out, 'merged.gguf'), { format: 'gguf' })
  using regex = await model.loadAdapter(folderOf('regex'))
  await regex.merge(join(out, 'whole'))
  using text = await loadModel(goldenFolder('gemma3'), plain)
  using over = await text.loadAdapter(folderOf('list'))
  await over.merge(join(out, 'text'))
  t.match(await exportAdapter(folder, folderOf('list'), join(out, 'a.gguf')), { layers: 6 })
})

t.test('what is refused, by name', async (t) => {
  using model = await loadModel(multimodal('gemma3', spellings.since!), plain)
  const only = respelled(spellings.since!, (name) => name.includes('vision_tower'))
  await t.rejects(model.loadAdapter(only), {
    code: 'E_UNSUPPORTED',
    message: /adapts nothing of the text part of gemma3.*only vision_tower; use it with PEFT/,
  })
  const lacking = respelled(spellings.since!, (name) => !name.includes('layers.1.mlp'))
  await t.rejects(model.loadAdapter(lacking), { code: 'E_MISSING', message: /2 of 12 tensors are missing/ })
  const more = respelled(spellings.since!)
  const file = join(more, 'adapter_model.safetensors')
  const tensors = [...readTensors(file)]
  const deeper = tensors.map(
    ([name, tensor]) => [name.replace('language_model.layers.1', 'language_model.layers.7'), tensor] as const,
  )
  writeFileSync(file, assembleTensors(new Map([...tensors, ...deeper])))
  await t.rejects(model.loadAdapter(more), { code: 'E_SHAPE', message: /6 tensors have no place in this adapter/ })
  const foreign = respelled((module) => spellings.since!(module.replace('layers.0.mlp', 'layers.7.mlp')))
  await t.rejects(model.loadAdapter(foreign), { code: 'E_MISSING' })
})
