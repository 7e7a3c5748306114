/** A model folder with an adapter merged in: W + s·B·A in float32 over the weights as stored, rounded once. */
import type { Json } from '../files/json.js'
import { native } from '../native/load.js'
import type { Adapter } from './adapter.js'
import { checkOutputFolder, type OutputOptions, parseOutputOptions, writeModelFolder } from './output-folder.js'

/** The config of the merged folder: no quantization_config; the type is what the weights are written in, in the spelling that was there. */
export function mergedConfig(config: Json): Json {
  const { quantization_config: quantized, ...raw } = config
  if (quantized === undefined || quantized === null) return raw
  return { ...raw, ['torch_dtype' in raw ? 'torch_dtype' : 'dtype']: 'bfloat16' }
}

/** See `Adapter.merge`. */
export async function mergeAdapter(adapter: Adapter, folder: string, options: OutputOptions = {}): Promise<void> {
  const { model } = adapter
  const { overwrite } = parseOutputOptions(options, 'merge options')
  const target = await checkOutputFolder(folder, 'merge', overwrite, model.path)
  const files = [...model.files]
  const { threads } = model.options
  await adapter.handle.share('merge', (values) =>
    writeModelFolder(
      target,
      model.path,
      async (output) => void (await native().mergeCheckpoint({ files, output, adapter: values, threads })),
      mergedConfig,
    ),
  )
}
