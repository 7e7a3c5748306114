/**
 * Names of tensors: Hugging Face's modules and llama.cpp's, layer by layer.
 * Source: github.com/ggml-org/llama.cpp, gguf-py/gguf/tensor_mapping.py.
 */
import { FedloraError } from '../../errors.js'
import type { ModelDescription, RowSwap, StoredTensor } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Architecture } from './architectures.js'

const whole: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
}

const ofLayer: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'ffn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}

const layered = /^model\.layers\.(\d+)\.(.+)$/

/**
 * llama.cpp's name of a module.
 * @throws FedloraError `E_UNSUPPORTED` for one that it has no name for.
 */
export function ggufName(module: string, { layerNames }: Architecture): string {
  const [, layer, part] = layered.exec(module) ?? []
  const name = part === undefined ? whole[module] : (layerNames?.[part] ?? ofLayer[part])
  if (name === undefined) throw new FedloraError('E_UNSUPPORTED', `GGUF has no name for '${module}'`, { module })
  return layer === undefined ? name : `blk.${layer}.${name}`
}

/**
 * The order of the rows of q and k in files of llama's kind: the two halves of each head, which rotate together, interleaved.
 * Undefined for every other module.
 */
export function fileRows(
  module: string,
  description: ModelDescription,
  { interleaved }: Architecture,
): RowSwap | undefined {
  if (!interleaved) return undefined
  const { heads, kvHeads, headDim } = description
  const outer = module.endsWith('.q_proj') ? heads : module.endsWith('.k_proj') ? kvHeads : 0
  return outer === 0 ? undefined : { outer, a: headDim / 2, b: 2 }
}

/** How a file stores the tensors of a model. */
export function storedTensors(description: ModelDescription, architecture: Architecture): StoredTensor[] {
  return native()
    .describeTensors(description)
    .map(({ module, name }) => {
      const swap = fileRows(module, description, architecture)
      const stored = `${ggufName(module, architecture)}${name.slice(module.length)}`
      return { name, stored, ...(swap && { swap }) }
    })
}
