/** Golden families as the text part of a multimodal checkpoint. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assembleTensors, readTensors, variantFolder } from './variant-folder.js'

const json = (folder: string) =>
  JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>

/** How the names of a text model stand in a checkpoint. */
export const spellings: Readonly<Record<string, (name: string) => string>> = {
  'before transformers 4.52': (name) => `language_model.${name}`,
  since: (name) => (name.startsWith('model.') ? name.replace('model.', 'model.language_model.') : name),
  'Idefics 3': (name) => (name.startsWith('model.') ? name.replace('model.', 'model.text_model.') : name),
}

/** A vision tower and a projector: noise under names like those of the text part. */
export const vision = [
  'vision_tower.layers.0.self_attn.q_proj.weight',
  'vision_tower.norm.weight',
  'multi_modal_projector.weight',
]

/** A golden family as the text part of a multimodal checkpoint. */
export function multimodal(family: string, spell: (name: string) => string, of = 'gemma3'): string {
  const folder = variantFolder({ family, set: {}, unset: [], tensors: [] })
  const file = join(folder, 'model.safetensors')
  const tensors = new Map([...readTensors(file)].map(([name, tensor]) => [spell(name), tensor]))
  const before = spell('model.norm').startsWith('model.') ? 'model.' : ''
  for (const name of vision) {
    tensors.set(before + name, {
      dtype: 'F32',
      shape: [2, 2],
      data: Buffer.from(new Float32Array([1, 2, 3, 4]).buffer),
    })
  }
  writeFileSync(file, assembleTensors(tensors))
  const { architectures, ...text } = json(folder)
  const whole = {
    model_type: of,
    architectures,
    text_config: text,
    vision_config: { model_type: 'siglip_vision_model' },
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(whole))
  return folder
}
