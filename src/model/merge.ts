/** A model folder, or a GGUF file, with an adapter merged in: W + s·B·A in float32 over the weights as stored, rounded once. */
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import type { Json } from '../files/json.js'
import { isGgufPath } from '../gguf/metadata.js'
import type { NativeAdapter } from '../native/binding.js'
import { native } from '../native/load.js'
import type { Base } from './base.js'
import { checkGgufModel, checkGgufOutput, mergeToGguf } from './gguf/export-model.js'
import { checkOutputFolder, overwriteShape, writeModelFolder } from './output-folder.js'
import { packedWeights } from './stored-quantization.js'

/** The config of the merged folder: no quantization_config; the type is what the weights are written in, in the spelling that was there. */
export function mergedConfig(config: Json): Json {
  const { quantization_config: quantized, ...raw } = config
  if (quantized === undefined || quantized === null) return raw
  return { ...raw, ['torch_dtype' in raw ? 'torch_dtype' : 'dtype']: 'bfloat16' }
}

export const mergeOptionsSchema = z.strictObject({
  ...overwriteShape,
  format: z
    .enum(['safetensors', 'gguf'])
    .default('safetensors')
    .describe("'safetensors': a model folder; 'gguf': one file for llama.cpp, tokenizer included"),
  type: z
    .enum(['f32', 'f16', 'bf16', 'q8_0', 'q4_0'])
    .optional()
    .describe('number type of the matrices of a GGUF file; default: f16'),
})

/** Options of `adapter.merge`. Defaults: `overwrite: false`, `format: 'safetensors'`. */
export type MergeOptions = z.input<typeof mergeOptionsSchema>

/** What `adapter.merge` wrote. */
export interface MergeResult {
  /** Absolute path of the folder or file. */
  path: string
  /** What a reader of it should know, such as what the format cannot say. */
  notes: readonly string[]
}

type ParsedOptions = z.output<typeof mergeOptionsSchema>

/**
 * The absolute path that may be written, before any work.
 * @param from - the folder or file of the model that is read.
 * @throws FedloraError `E_ARGUMENT` for an output that is in the way, `E_CONFIG` for a type without GGUF, `E_UNSUPPORTED` for a folder made of
 * a GGUF file, and for a GGUF file of a model that llama.cpp has no place for.
 */
export async function checkMergeOutput(
  output: string,
  { format, type, overwrite }: ParsedOptions,
  from: string,
): Promise<string> {
  if (format === 'gguf') {
    const file = await checkGgufOutput(output, 'merge', overwrite)
    await checkGgufModel(from)
    return file
  }
  if (type !== undefined) {
    throw new FedloraError(
      'E_CONFIG',
      `merge: type '${type}' is for format 'gguf'; a folder keeps the type that it is stored in`,
      { field: 'type' },
    )
  }
  if (isGgufPath(from)) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `merge: '${from}' is GGUF, of which no folder is made; merge into a GGUF file (format: 'gguf', --format gguf), or load the Hugging Face folder`,
      { path: from },
    )
  }
  return await checkOutputFolder(output, 'merge', overwrite, from)
}

/** Writes it; see `Adapter.merge`. @param path - as `checkMergeOutput` gave it. */
export async function mergeInto(
  path: string,
  base: Base,
  adapter: NativeAdapter,
  options: ParsedOptions,
): Promise<MergeResult> {
  if (options.format === 'gguf') {
    const { file, notes } = await mergeToGguf(path, base, adapter, options.type ?? 'f16')
    return { path: file, notes }
  }
  await mergeFolder(path, base, adapter)
  return { path, notes: [] }
}

async function mergeFolder(folder: string, base: Base, adapter: NativeAdapter): Promise<void> {
  const files = [...base.files]
  const { threads } = base.options
  await writeModelFolder(
    folder,
    base.path,
    async (output) =>
      void (await native().mergeCheckpoint({ files, output, adapter, threads, ...packedWeights(base.config) })),
    mergedConfig,
  )
}
