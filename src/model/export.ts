/**
 * A LoRA adapter alone as a GGUF file that llama.cpp lays over its base. llama.cpp knows one alpha for all tensors and divides it by the rank
 * of each, so whatever else a layer's scaling is, of rsLoRA, rank and alpha patterns, is multiplied into its lora_b.
 * Source: github.com/ggml-org/llama.cpp, convert_lora_to_gguf.py and src/llama-adapter.cpp.
 */
import { basename, dirname } from 'node:path'
import { z } from 'zod'
import { makeFolder } from '../files/atomic.js'
import { checkPath } from '../files/path.js'
import { readGguf } from '../gguf/metadata.js'
import type { RowSwap, WriteTensor } from '../native/binding.js'
import { native } from '../native/load.js'
import { parseOptions } from '../options/parse.js'
import { adapterLayers } from './adapter-options.js'
import { linearModules, type ModelConfig } from './config.js'
import { type Architecture, architectureNamed, architectureOf } from './gguf/architectures.js'
import { checkGgufOutput } from './gguf/export-model.js'
import { number, text, whole } from './gguf/keys.js'
import { ggufModules } from './gguf/names.js'
import { checkFinite, flatten } from './layout.js'
import { readAdapterFolder } from './peft/folder.js'
import { readModelConfig } from './read-config.js'
import { UnloadedAdapter } from './unloaded-adapter.js'

export const exportOptionsSchema = z.strictObject({
  format: z.enum(['gguf']).default('gguf').describe("'gguf': the adapter alone, as llama.cpp reads it"),
  overwrite: z.boolean().default(false).describe('replace a file that is there already'),
})

/** Options of `exportAdapter`. */
export type ExportOptions = z.input<typeof exportOptionsSchema>

/** The absolute path of the file, before any work. @throws FedloraError `E_ARGUMENT`. */
export async function checkExportOutput(output: string, overwrite: boolean): Promise<string> {
  return await checkGgufOutput(output, 'export', overwrite)
}

/** What was written. */
export interface ExportResult {
  /** Absolute path of the file. */
  file: string
  /** Adapted layers; two tensors each. */
  layers: number
}

/** Rows in the file's order. */
function reorder(rows: Float32Array, { outer, a, b }: RowSwap): Float32Array {
  const out = new Float32Array(rows.length)
  const width = rows.length / (outer * a * b) // of rows that stay together
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < a; i++) {
      for (let j = 0; j < b; j++) {
        const from = ((o * b + j) * a + i) * width
        out.set(rows.subarray(from, from + width), ((o * a + i) * b + j) * width)
      }
    }
  }
  return out
}

function architectureFor(config: ModelConfig, model: string): Architecture {
  if (config.stored === undefined) return architectureOf(config.family)
  const { sliding_window: window } = config.raw
  return architectureNamed(readGguf(model).text('general.architecture') ?? '', Boolean(window), model)
}

/**
 * Writes an adapter as a GGUF file; only the model's config is read, not its weights.
 * @param model - the base, as `loadModel` takes it.
 * @param adapter - a PEFT folder.
 * @param output - the file to write.
 * @throws FedloraError `E_UNSUPPORTED` for a family that is not written or an adapter that is not supported, `E_ARGUMENT` for an output that
 * is there already or does not end in .gguf, `E_MISSING`, `E_SHAPE`, `E_NONFINITE`, `E_CONFIG`, `E_IO`.
 * @example
 * ```ts
 * const model = await loadModel('SmolLM2-135M-Instruct')
 * await model.createAdapter({ rank: 4 }).save('adapter')
 * const { file, layers } = await exportAdapter('SmolLM2-135M-Instruct', 'adapter', 'adapter.gguf')
 * console.log(file, layers)
 * model.dispose()
 * ```
 */
export async function exportAdapter(
  model: string,
  adapter: string,
  output: string,
  options: ExportOptions = {},
): Promise<ExportResult> {
  for (const path of [model, adapter, output]) checkPath(path, 'export')
  const { overwrite } = parseOptions(exportOptionsSchema, options, 'export options')
  const file = await checkExportOutput(output, overwrite)
  const config = await readModelConfig(model)
  const architecture = architectureFor(config, model)
  const { description } = config
  const { textOf } = config
  const linears = linearModules(description).map(({ module }) => module)
  const modules = { linears, ...description.names, ...(textOf !== undefined && { textOf }) }
  const { config: lora, targets, tensors } = await readAdapterFolder(adapter, modules)
  const unloaded = new UnloadedAdapter(config, lora, targets)
  checkFinite(unloaded.layout, flatten(unloaded.layout, unloaded.length, tensors))
  const files = ggufModules(description, architecture)
  const written = adapterLayers(lora, targets).flatMap(({ module, rank, scaling }): WriteTensor[] => {
    const { name, swap } = files.get(module)!
    const factor = (part: 'A' | 'B') => tensors.get(`base_model.model.${module}.lora_${part}.weight`)!
    const [A, B] = [factor('A'), factor('B')]
    const scale = (scaling * rank) / lora.alpha
    const scaled = Math.abs(scale - 1) < 1e-12 ? B.data : B.data.map((value) => value * scale)
    return [
      { name: `${name}.weight.lora_a`, shape: [...A.shape!], data: A.data },
      { name: `${name}.weight.lora_b`, shape: [...B.shape!], data: swap ? reorder(scaled, swap) : scaled },
    ]
  })
  const fields = [
    text('general.architecture', architecture.name),
    text('general.type', 'adapter'),
    text('adapter.type', 'lora'),
    text('general.name', basename(adapter)),
    number('adapter.lora.alpha', lora.alpha),
    whole('general.quantization_version', 2),
  ]
  await makeFolder(dirname(file))
  native().writeGguf(file, fields, written)
  return { file, layers: targets.length }
}
