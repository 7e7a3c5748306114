/** A model as one GGUF file, an adapter folded into its weights. */
import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { FedloraError } from '../../errors.js'
import { makeFolder } from '../../files/atomic.js'
import { isGgufPath, readGguf } from '../../gguf/metadata.js'
import type { GgufField, GgufPart, GgufType, NativeAdapter } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Base } from '../base.js'
import type { ModelConfig } from '../config.js'
import { packedWeights } from '../stored-quantization.js'
import { type Architecture, architectureOf } from './architectures.js'
import { fileFields, modelFields, notesOf, ropeFactors, text } from './fields.js'
import { storedTensors } from './names.js'
import { tokenizerFields } from './tokenizer-fields.js'

/** What was written. */
export interface GgufResult {
  /** Absolute path of the file. */
  file: string
  tensors: number
  bytes: number
  /** What a reader of the file should know. */
  notes: readonly string[]
}

/**
 * The absolute path of a file that may be written.
 * @throws FedloraError `E_ARGUMENT` for a name that does not end in .gguf, a folder, or a file that is there already.
 */
export async function checkGgufOutput(output: string, doing: string, overwrite: boolean): Promise<string> {
  const file = resolve(output)
  const refuse = (why: string) => {
    throw new FedloraError('E_ARGUMENT', `${doing}: the output '${output}' ${why}`, { file })
  }
  if (!isGgufPath(file)) refuse('does not end in .gguf; a GGUF model is one file')
  const there = await stat(file).catch(() => undefined)
  if (there?.isDirectory()) refuse('is a folder; name a file')
  if (there !== undefined && !overwrite)
    refuse('is there already; choose another, or replace it with overwrite (--overwrite)')
  return file
}

/** Tensors under llama.cpp's names; norms with what the engine adds to them. */
function partsOf(config: ModelConfig, architecture: Architecture): GgufPart[] {
  const { description } = config
  const roles = new Map(
    native()
      .describeTensors(description)
      .map(({ name, role }) => [name, role]),
  )
  const parts = storedTensors(description, architecture).map(({ name, stored, swap }): GgufPart => {
    const role = roles.get(name)
    const add = role === 'norm' || role === 'finalNorm' ? description.normOffset : 0
    return {
      name: stored,
      from: name,
      ...(swap && { swap }),
      ...(add !== 0 && { add }),
    }
  })
  const factors = ropeFactors(config)
  return factors === undefined ? parts : [{ name: 'rope_freqs.weight', numbers: factors }, ...parts]
}

/** Of a model that is GGUF itself: every tensor and key of the file again. */
function sameParts(base: Base): GgufPart[] {
  const ours = new Map(base.config.stored!.map(({ name, stored, swap }) => [stored, { name, swap }]))
  return base.files.flatMap((file) =>
    readGguf(file).tensors.map(({ name }): GgufPart => {
      const { name: from = name, swap } = ours.get(name) ?? {}
      return { name, from, ...(swap && { swap }) }
    }),
  )
}

/** The config with what the loaded weights say of the head: a checkpoint may store one of its own where its config ties it. */
function withHeadOf({ config, memory }: Base): ModelConfig {
  const tiedHead = memory.head === 0
  return { ...config, tiedHead, description: { ...config.description, tiedHead } }
}

async function folderFields(base: Base, architecture: Architecture): Promise<{ fields: GgufField[]; notes: string[] }> {
  const { config, path } = base
  const tokenizer = await tokenizerFields(path, config.vocabulary)
  const notes = notesOf(config)
  if (tokenizer === undefined)
    notes.push(`'${path}' has no tokenizer.json: the file has no tokenizer, and takes token ids alone`)
  const name = base.name.replace(/^\.\//, '')
  const fields = [...modelFields(config, architecture, name), ...(tokenizer ?? [text('tokenizer.ggml.model', 'none')])]
  return { fields, notes }
}

/**
 * Writes the file; see `Adapter.merge`.
 * @param file - as `checkGgufOutput` gave it.
 */
export async function mergeToGguf(
  file: string,
  base: Base,
  adapter: NativeAdapter | null,
  type: GgufType,
): Promise<GgufResult> {
  const { files } = base
  const config = withHeadOf(base)
  const own = config.stored !== undefined
  const architecture = own ? undefined : architectureOf(config.family)
  const { fields, notes } =
    architecture === undefined ? { fields: [], notes: [] } : await folderFields(base, architecture)
  const parts = architecture === undefined ? sameParts(base) : partsOf(config, architecture)
  await makeFolder(dirname(file))
  const { tensors, bytes } = await native().exportGguf({
    files: [...files],
    ...(config.stored && { stored: config.stored }),
    ...packedWeights(config),
    output: file,
    type,
    fields: [...fields, ...fileFields(type)],
    keepFields: own,
    parts,
    description: config.description,
    adapter,
  })
  return { file, tensors, bytes, notes }
}
