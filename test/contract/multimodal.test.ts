/** Multimodal checkpoints: the text part loads under the names of both generations of transformers, says so, and is merged where it lay. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadPlanned, planModel } from '../../src/cli/open-model.js'
import type { Output } from '../../src/cli/output.js'
import { loadModel, quantizeModel } from '../../src/index.js'
import { parseModelConfig } from '../../src/model/config.js'
import { goldenFolder } from '../support/golden-model.js'
import { multimodal, spellings, vision } from '../support/multimodal.js'
import { temporaryFolder } from '../support/train.js'
import { readTensors, variantFolder } from '../support/variant-folder.js'

const plain = { quantization: 'none', compute: 'f32', threads: 2 } as const
const inputIds = [[1, 5, 9, 30, 200], [7]]
const bytes = (x: Float32Array) => Buffer.from(x.buffer, x.byteOffset, x.byteLength)
const json = (folder: string) =>
  JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>

for (const [spelling, spell] of Object.entries(spellings)) {
  t.test(`names of ${spelling}: the bits of the text model, merged under the same names`, async (t) => {
    for (const family of ['gemma3', 'ministral3', 'llama']) {
      const folder = multimodal(family, spell)
      using whole = await loadModel(folder, plain)
      using text = await loadModel(goldenFolder(family), plain)
      const want = (await text.logits({ inputIds })).data
      t.ok(bytes((await whole.logits({ inputIds })).data).equals(bytes(want)), family)
      t.equal(whole.config.textOf, 'gemma3')
      t.equal(whole.config.family, text.config.family)
      t.equal(whole.unusedTensors.length, vision.length)
      using adapter = whole.createAdapter({ rank: 1, alpha: 1, targetModules: ['v_proj'] })
      adapter.setVector(adapter.vector().fill(0.25))
      using same = text.createAdapter({ rank: 1, alpha: 1, targetModules: ['v_proj'] })
      same.setVector(adapter.vector())
      const [merged, mergedText] = [temporaryFolder('merged'), temporaryFolder('merged')].map((at) => join(at, 'model'))
      await adapter.merge(merged!)
      await same.merge(mergedText!)
      t.same(json(merged!), json(folder), 'the config of the whole')
      const [before, after] = [folder, merged!].map((at) => readTensors(join(at, 'model.safetensors')))
      t.same([...after!.keys()].sort(), [...before!.keys()].sort(), 'and all its tensors')
      for (const [name, tensor] of before!)
        t.equal(after!.get(name)!.data.equals(tensor.data), !name.includes('v_proj'), name)
      using again = await loadModel(merged!, plain)
      using againText = await loadModel(mergedText!, plain)
      const got = (await again.logits({ inputIds })).data
      t.ok(bytes(got).equals(bytes((await againText.logits({ inputIds })).data)))
      t.notOk(bytes(got).equals(bytes(want)), 'canary: the adapter does something')
    }
  })
}

t.test('the command line says what is left out, as a line and as an event', async (t) => {
  const lines: string[] = []
  const events: unknown[] = []
  const output = {
    phase() {},
    status() {},
    endProgress() {},
    note: (line: string) => lines.push(line),
    event: (one: unknown) => events.push(one),
  }
  const folder = multimodal('gemma3', spellings.since!)
  const model = await loadPlanned(await planModel({ model: folder }, {}), output as unknown as Output)
  model.dispose()
  t.same(lines, [
    'a multimodal model (gemma3): its text part (gemma3_text) is loaded, 3 tensors are left out: vision_tower (2), multi_modal_projector (1)',
  ])
  t.same(events, [
    {
      type: 'notice',
      notice: 'text part',
      model: 'gemma3',
      family: 'gemma3_text',
      tensors: 3,
      leftOut: [
        { name: 'vision_tower', tensors: 2 },
        { name: 'multi_modal_projector', tensors: 1 },
      ],
    },
  ])
})

t.test('what a text part does not say is what its config class supplies, or what holds for the whole', (t) => {
  // google/gemma-3-4b-it and llava-hf/llava-1.5-7b-hf as they are published.
  const gemma = parseModelConfig({
    model_type: 'gemma3',
    eos_token_id: [1, 106],
    torch_dtype: 'bfloat16',
    vision_config: { model_type: 'siglip_vision_model' },
    text_config: {
      hidden_size: 2560,
      intermediate_size: 10240,
      model_type: 'gemma3_text',
      num_hidden_layers: 34,
      rope_scaling: { factor: 8.0, rope_type: 'linear' },
      sliding_window: 1024,
    },
  })
  t.match(gemma, {
    family: 'gemma3_text',
    vocabulary: 262208,
    hidden: 2560,
    layers: 34,
    heads: 8,
    kvHeads: 4,
    headDim: 256,
  })
  t.match(gemma, { tiedHead: true, storedType: 'bfloat16', endTokenIds: [1, 106] })
  const llava = parseModelConfig({
    model_type: 'llava',
    tie_word_embeddings: false,
    torch_dtype: 'float16',
    text_config: { model_type: 'llama', max_position_embeddings: 4096, torch_dtype: 'float16', vocab_size: 32064 },
  })
  t.match(llava, {
    vocabulary: 32064,
    hidden: 4096,
    intermediate: 11008,
    layers: 32,
    heads: 32,
    kvHeads: 32,
    tiedHead: false,
  })
  const tied = { model_type: 'mistral3', tie_word_embeddings: true, text_config: { model_type: 'mistral' } }
  t.equal(parseModelConfig(tied).tiedHead, true)
  const own = { ...tied, text_config: { model_type: 'mistral', tie_word_embeddings: false } }
  t.equal(parseModelConfig(own).tiedHead, false, 'what the text part says goes first')
  t.end()
})

t.test('what is refused, by name', async (t) => {
  t.throws(() => parseModelConfig({ model_type: 'gemma3', text_config: {} }), {
    code: 'E_CONFIG',
    message: /text_config has no model_type/,
  })
  t.throws(() => parseModelConfig({ model_type: 'qwen2_5_vl', text_config: { model_type: 'qwen2_5_vl_text' } }), {
    code: 'E_UNSUPPORTED',
    message: /qwen2_5_vl_text/,
  })
  t.throws(() => parseModelConfig({ model_type: 'llava', text_config: { model_type: 'llama', vocab_size: 0 } }), {
    code: 'E_CONFIG',
    message: /text_config\.vocab_size is 0/,
  })
  const folder = multimodal('llama', spellings.since!, 'llava')
  await t.rejects(quantizeModel(folder, join(temporaryFolder('quantised'), 'model')), {
    code: 'E_UNSUPPORTED',
    message: /multimodal \(llava\).*loadModel quantises its text part/,
  })
  const text = variantFolder({
    family: 'llama',
    set: {},
    unset: [],
    tensors: [['rename', 'model.', 'language_model.model.']],
  })
  await t.rejects(loadModel(text, plain), { code: 'E_MISSING', message: /without the prefix "language_model\."/ })
})
