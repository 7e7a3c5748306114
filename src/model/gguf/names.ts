/**
 * Names of tensors: llama.cpp's by the part of a model that a tensor is.
 * Source: github.com/ggml-org/llama.cpp, gguf-py/gguf/constants.py.
 */
import { FedloraError } from '../../errors.js'
import type { BlockDescription, ModelDescription, RowSwap, StoredTensor } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Architecture } from './architectures.js'

/** A module as a file has it. */
export interface GgufModule {
  name: string
  /** The order of its rows in the file. */
  swap?: RowSwap
}

const inputs = (list: BlockDescription['attention']['in'], fused: string, apart: readonly string[]) =>
  list.map(({ module }, i) => [module, list.length === 1 ? fused : apart[i]!] as const)

/** Modules of a block with llama.cpp's names, after `blk.N.`. */
function blockNames({ norms, attention, mlp }: BlockDescription): (readonly [string | undefined, string])[] {
  return [
    [norms.beforeAttention, 'attn_norm'],
    ...inputs(attention.in, 'attn_qkv', ['attn_q', 'attn_k', 'attn_v']),
    [attention.qNorm, 'attn_q_norm'],
    [attention.kNorm, 'attn_k_norm'],
    [attention.out.module, 'attn_output'],
    [norms.afterAttention, 'post_attention_norm'],
    [norms.beforeMlp, 'ffn_norm'],
    ...inputs(mlp.in, 'ffn_up', ['ffn_gate', 'ffn_up']),
    [mlp.out.module, 'ffn_down'],
    [norms.afterMlp, 'post_ffw_norm'],
  ]
}

/**
 * Rows of a block's matrices that lie in another order: of q and k in files of llama's kind the two halves of each head, which rotate together,
 * are interleaved; q, k and v of one matrix come one after the other, where families have them head by head.
 */
function blockSwaps(
  { attention }: BlockDescription,
  { heads, kvHeads, headDim }: ModelDescription,
  { interleaved }: Architecture,
): Map<string, RowSwap> {
  const [first, second] = attention.in
  if (attention.byHead) return new Map([[first!.module, { outer: 1, a: 3, b: heads }]])
  if (!interleaved || second === undefined) return new Map()
  const halves = (outer: number) => ({ outer, a: headDim / 2, b: 2 })
  return new Map([
    [first!.module, halves(heads)],
    [second.module, halves(kvHeads)],
  ])
}

/** Every module of a model by the description's name. */
export function ggufModules(description: ModelDescription, architecture: Architecture): Map<string, GgufModule> {
  const { names, layers } = description
  const all = new Map<string, GgufModule>()
  const add = (module: string | undefined, name: string, swap?: RowSwap) => {
    if (module !== undefined) all.set(module, { name, ...(swap && { swap }) })
  }
  add(names.embedding, 'token_embd')
  add(names.embeddingNorm, 'token_embd_norm')
  add(names.positions, 'position_embd')
  layers.forEach((block, index) => {
    const swaps = blockSwaps(block, description, architecture)
    for (const [module, name] of blockNames(block)) add(module, `blk.${index}.${name}`, swaps.get(module ?? ''))
  })
  add(names.finalNorm, 'output_norm')
  add(names.head, 'output')
  return all
}

/** How a file stores the tensors of a model. */
export function storedTensors(description: ModelDescription, architecture: Architecture): StoredTensor[] {
  const modules = ggufModules(description, architecture)
  return native()
    .describeTensors(description)
    .map(({ module, name }) => {
      const found = modules.get(module)
      if (found === undefined) throw new FedloraError('E_UNSUPPORTED', `GGUF has no name for '${module}'`, { module })
      const { name: stored, swap } = found
      return { name, stored: `${stored}${name.slice(module.length)}`, ...(swap && { swap }) }
    })
}
