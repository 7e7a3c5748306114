/** A model folder with an adapter merged in: W + s·B·A in float32 over the weights as stored, rounded once. */
import { mkdir, realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { FedloraError } from '../errors.js'
import { ioError, replaceFile } from '../files/atomic.js'
import { native } from '../native/load.js'
import type { Adapter } from './adapter.js'
import type { Json } from './fields.js'
import { rewriteJson } from './json-numbers.js'
import { copySideFiles } from './side-files.js'

/** The config of the merged folder: no quantization_config; the type is what the weights are written in, in the spelling that was there. */
export function mergedConfig(config: Json): Json {
  const { quantization_config: quantized, ...raw } = config
  if (quantized === undefined || quantized === null) return raw
  return { ...raw, ['torch_dtype' in raw ? 'torch_dtype' : 'dtype']: 'bfloat16' }
}

/**
 * Refuses to write a model over the one it is made from.
 * @throws FedloraError `E_ARGUMENT`.
 */
export async function refuseSameFolder(from: string, to: string, doing: string): Promise<string> {
  const target = resolve(to)
  try {
    await mkdir(target, { recursive: true })
    if ((await realpath(from)) === (await realpath(target))) {
      throw new FedloraError(
        'E_ARGUMENT',
        `${doing}: the output folder '${target}' is the model's own folder; choose another`,
      )
    }
  } catch (error) {
    throw ioError(error, `cannot create '${target}'`)
  }
  return target
}

/** See `Adapter.merge`. */
export async function mergeAdapter(adapter: Adapter, folder: string): Promise<void> {
  const { model } = adapter
  const target = await refuseSameFolder(model.path, folder, 'merge')
  await adapter.handle.share('merge', (values) =>
    replaceFile(join(target, 'model.safetensors'), async (temporary) => {
      await native().mergeCheckpoint({
        files: [...model.files],
        output: temporary,
        adapter: values,
        threads: model.options.threads,
      })
    }),
  )
  await copySideFiles(model.path, target)
  await rewriteJson(join(model.path, 'config.json'), join(target, 'config.json'), mergedConfig)
}
