/** A model folder with an adapter merged in: W + s·B·A in float32 over the weights as stored, rounded once. */
import type { Json } from '../files/json.js'
import type { NativeAdapter } from '../native/binding.js'
import { native } from '../native/load.js'
import type { Base } from './base.js'
import { writeModelFolder } from './output-folder.js'
import { packedWeights } from './stored-quantization.js'

/** The config of the merged folder: no quantization_config; the type is what the weights are written in, in the spelling that was there. */
export function mergedConfig(config: Json): Json {
  const { quantization_config: quantized, ...raw } = config
  if (quantized === undefined || quantized === null) return raw
  return { ...raw, ['torch_dtype' in raw ? 'torch_dtype' : 'dtype']: 'bfloat16' }
}

/** Writes it; see `Adapter.merge`. @param folder - as `checkOutputFolder` gave it. */
export async function mergeInto(folder: string, base: Base, adapter: NativeAdapter): Promise<void> {
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
