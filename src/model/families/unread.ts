/**
 * Fields that change what a model computes. Configs are full of fields that do not matter here; one of these, set to something and not read by
 * its family, would be dropped in silence, so that it is refused.
 */
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import type { Fields } from '../fields.js'

const attendsToAll = (types: unknown): boolean =>
  Array.isArray(types) && types.every((type) => type === 'full_attention' || type === 'attention')

/** Each with the values, beside null, that change nothing. */
const fields: Readonly<Record<string, readonly unknown[] | ((value: unknown) => boolean)>> = {
  alibi: [false],
  attention_chunk_size: [],
  attention_multiplier: [1],
  attn_logit_softcapping: [0],
  clip_qkv: [],
  embedding_multiplier: [1],
  final_logit_softcapping: [0],
  layer_types: attendsToAll,
  logits_scaling: [1],
  mlp_only_layers: [[]],
  moe_intermediate_size: [],
  multi_query: [false],
  n_routed_experts: [0],
  new_decoder_architecture: [false],
  no_rope_layers: [[]],
  num_experts: [0],
  num_local_experts: [0, 1],
  parallel_attn: [false],
  qk_layernorm: [false],
  qk_norm: [false],
  query_pre_attn_scalar: [],
  residual_multiplier: [1],
  rope_local_base_freq: [],
  rotary_pct: [1],
  use_bidirectional_attention: [false],
  use_parallel_residual: [false],
  use_qk_norm: [false],
}

/** @throws FedloraError `E_UNSUPPORTED` naming the first such field. */
export function refuseUnread(config: Fields, family: string): void {
  for (const [field, neutral] of Object.entries(fields)) {
    const value = config.values[field]
    if (value === undefined || value === null || config.read.has(field)) continue
    const changesNothing =
      typeof neutral === 'function'
        ? neutral(value)
        : neutral.some((one) => JSON.stringify(one) === JSON.stringify(value))
    if (changesNothing) continue
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${config.where}: ${field} is ${describeValue(value)}, which changes what the model computes, and family '${family}' has no such field here. ` +
        'If the model does not use it, remove it from config.json',
      { field, got: value, family },
    )
  }
}
