/** Opening a model: a Hugging Face folder, or a GGUF file. */
import { findModel } from '../files/model-source.js'
import { checkPath } from '../files/path.js'
import type { LoadOptions } from '../native/binding.js'
import { onDevice } from '../native/device.js'
import { native } from '../native/load.js'
import { parseOptions } from '../options/parse.js'
import { Model } from './model.js'
import { availableCores, checkBaseFormat, type ModelOptions, modelOptionsSchema } from './model-options.js'
import { readModelConfig } from './read-config.js'
import { packedWeights } from './stored-quantization.js'
import { weightFiles } from './weight-files.js'

/**
 * Loads a model folder: `config.json` in the spelling of transformers 4 or 5 and `model.safetensors`, whole or sharded, plain
 * (F32, F16, BF16) or quantised by bitsandbytes. Weights are converted as they are read; peak memory is the packed model and one tensor.
 *
 * A GGUF file (of a split model the first part) is a model as well: its metadata is its config, and `quantization: 'none'` gives the float32
 * numbers that its blocks stand for; every other format is made of these.
 * @param folder - the model folder, a .safetensors file in it, a .gguf file, or the id of a model in the local Hugging Face cache (`org/name`,
 * `org/name@revision`); nothing is downloaded.
 * @param options - defaults: `quantization: 'none'`, `doubleQuantization: false`, `blockSize: 64`, `compute: 'f32'`, `device: 'cpu'`,
 * `threads`: all available cores.
 * @throws FedloraError `E_MISSING` (files and tensors, named), `E_UNSUPPORTED` (family, rope type, quantisation method), `E_CONFIG`,
 * `E_FORMAT`, `E_SHAPE`, `E_DTYPE`, `E_NONFINITE`, `E_IO`, `E_LOAD`; what `onProgress` throws. A CUDA device that cannot be used is refused, never
 * replaced by the CPU: `E_CUDA_LIBRARY` (no library), `E_CUDA_ABI` (of another version), `E_CUDA_DRIVER` (no driver), `E_CUDA_DRIVER_OLD`,
 * `E_CUDA_DEVICE` (no such device), `E_CUDA_CAPABILITY` (older than Ampere), `E_MEMORY`.
 * @example
 * ```ts
 * const model = await loadModel('SmolLM2-135M-Instruct', { quantization: 'nf4', compute: 'bf16' })
 * const adapter = model.createAdapter({ rank: 16, targetModules: ['q_proj', 'v_proj'] })
 * const { text } = await model.generate('Add one to 3.', { adapter, maxTokens: 5 }).result
 * console.log(text)
 * model.dispose()
 * ```
 */
export async function loadModel(folder: string, options: ModelOptions = {}): Promise<Model> {
  const { onProgress, threads, device, baseModelName, ...format } = parseOptions(
    modelOptionsSchema,
    options,
    'model options',
  )
  checkBaseFormat(format, 'model options')
  checkPath(folder, 'loadModel')
  const source = await findModel(folder)
  const config = await readModelConfig(folder)
  const load: LoadOptions = {
    files: await weightFiles(source.folder, source.file),
    description: config.description,
    ...(config.stored && { stored: config.stored }),
    ...packedWeights(config),
    ...format,
    threads: threads ?? availableCores(),
    ...onDevice(device),
  }
  let thrown: { error: unknown } | undefined
  const progress =
    onProgress &&
    ((loaded: number, total: number) => {
      try {
        if (thrown === undefined) onProgress({ loaded, total })
      } catch (error) {
        thrown = { error }
      }
    })
  const loaded = await native().loadModel(load, progress)
  if (thrown !== undefined) {
    loaded.dispose()
    throw thrown.error
  }
  return new Model(source, config, load, loaded, baseModelName)
}
