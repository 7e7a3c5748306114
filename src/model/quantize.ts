/** Writing a checkpoint that transformers + bitsandbytes load as their own. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import type { Json } from '../files/json.js'
import { findModel } from '../files/model-source.js'
import { checkPath } from '../files/path.js'
import { isGgufPath } from '../gguf/metadata.js'
import { native } from '../native/load.js'
import { parseOptions } from '../options/parse.js'
import { linearModules } from './config.js'
import { float } from './json-numbers.js'
import { availableCores, baseFormatShape, checkBaseFormat } from './model-options.js'
import { checkOutputFolder, overwriteShape, writeModelFolder } from './output-folder.js'
import { readModelConfig } from './read-config.js'
import { weightFiles } from './weight-files.js'

export const quantizeOptionsSchema = z.strictObject({
  quantization: z.enum(['nf4', 'fp4', 'int8']).default('nf4').describe('format of the linear weights'),
  doubleQuantization: baseFormatShape.doubleQuantization,
  blockSize: baseFormatShape.blockSize,
  threads: z.int().min(1).max(1024).optional().describe('worker threads; default: the cores available to this process'),
  ...overwriteShape,
})

/** Options of `quantizeModel`. Defaults: nf4, block 64, single quantisation, a new or empty folder. */
export type QuantizeOptions = z.input<typeof quantizeOptionsSchema>

export interface QuantizeResult {
  folder: string
  /** Linear layers quantised. */
  quantized: number
  /** Bytes of the weights before and after. */
  bytesBefore: number
  bytesAfter: number
}

/** `quantization_config` as transformers writes it into `config.json`. */
export function quantizationConfig(options: {
  quantization: 'nf4' | 'fp4' | 'int8'
  doubleQuantization: boolean
}): Json {
  const four = options.quantization !== 'int8'
  return {
    _load_in_4bit: four,
    _load_in_8bit: !four,
    bnb_4bit_compute_dtype: 'float32',
    bnb_4bit_quant_storage: 'uint8',
    bnb_4bit_quant_type: four ? options.quantization : 'fp4',
    bnb_4bit_use_double_quant: four && options.doubleQuantization,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: null,
    llm_int8_threshold: float(6),
    load_in_4bit: four,
    load_in_8bit: !four,
    quant_method: 'bitsandbytes',
  }
}

/**
 * Quantises every linear layer but the head and writes a model folder that transformers + bitsandbytes (and `loadModel`) load.
 * Everything else is copied as stored.
 * @param folder - an unquantised model: its folder, a .safetensors file in it, or its id in the Hugging Face cache.
 * @param output - a new or empty folder; with `overwrite: true` also one that a model was written to before, whose files are replaced.
 * @throws FedloraError `E_UNSUPPORTED` when the folder is quantised already, `E_ARGUMENT` for an output folder with other files in it,
 * `E_CONFIG`, `E_MISSING`, `E_IO`.
 */
export async function quantizeModel(
  folder: string,
  output: string,
  options: QuantizeOptions = {},
): Promise<QuantizeResult> {
  checkPath(folder, 'quantize')
  checkPath(output, 'quantize')
  const { threads, overwrite, ...format } = parseOptions(quantizeOptionsSchema, options, 'quantize options')
  checkBaseFormat(format, 'quantize options')
  const { folder: path, file } = await findModel(folder)
  if (file !== undefined && isGgufPath(file)) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `quantize: '${file}' is GGUF; loadModel quantises it while it loads (quantization: 'nf4'). A folder for bitsandbytes is made of the original checkpoint`,
      { path: file },
    )
  }
  const target = await checkOutputFolder(output, 'quantize', overwrite, path)
  const config = await readModelConfig(path)
  if (config.storedQuantization !== undefined) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `'${path}' is already quantised (${config.storedQuantization.format}); quantise the original checkpoint instead`,
    )
  }
  if (config.textOf !== undefined) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `quantize: '${path}' is multimodal (${config.textOf}), of which no folder for bitsandbytes is made; loadModel quantises its text part while it loads (quantization: 'nf4')`,
      { path },
    )
  }
  const files = await weightFiles(path, file)
  const { description } = config
  const modules = linearModules(description).map(({ module }) => module)
  const weights = async (temporary: string) => {
    const request = { files, output: temporary, modules, description, ...format, threads: threads ?? availableCores() }
    await native().quantizeCheckpoint(request)
  }
  const quantization_config = quantizationConfig(format)
  await writeModelFolder(target, path, weights, (raw) => ({ ...raw, quantization_config }))
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
  return {
    folder: target,
    quantized: modules.length,
    bytesBefore: sizes.reduce((sum, size) => sum + size, 0),
    bytesAfter: (await stat(join(target, 'model.safetensors'))).size,
  }
}
