/** The safetensors files of a model folder: one file, or the shards that an index lists. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../errors.js'
import { exists } from '../files/atomic.js'
import { readJsonObject } from '../files/json.js'
import { isGgufPath, readGguf } from '../gguf/metadata.js'
import { ggufParts } from './gguf/parts.js'

async function shardsOf(folder: string, index: string): Promise<string[]> {
  const contents = await readJsonObject(index, 'shard index')
  const map = contents.weight_map
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new FedloraError('E_FORMAT', `shard index: '${index}' has no weight_map object`, { path: index })
  }
  const names = [...new Set(Object.values(map))].sort()
  if (names.length === 0)
    throw new FedloraError('E_FORMAT', `shard index: weight_map in '${index}' is empty`, { path: index })
  const missing: string[] = []
  for (const name of names) {
    if (typeof name !== 'string' || /^\.*$|[/\\\0]/.test(name)) {
      throw new FedloraError(
        'E_FORMAT',
        `shard index: '${index}' names the shard ${JSON.stringify(name)}, expected a file name`,
        {
          path: index,
        },
      )
    }
    if (!(await exists(join(folder, name)))) missing.push(name)
  }
  if (missing.length > 0) {
    throw new FedloraError(
      'E_MISSING',
      `${missing.length} of ${names.length} shards listed in '${index}' are not there: ${missing.join(', ')}; download them again`,
      { missing },
    )
  }
  return names.map((name) => join(folder, name as string))
}

/** Files that hold weights in ways that are not read, and the cure. */
const otherWeights: readonly [RegExp, string][] = [
  [/^adapter_(config\.json|model\.)/, 'this is an adapter: load its base model, then the adapter with loadAdapter'],
  [
    /^(pytorch_model.*|consolidated.*)\.(bin|pt|pth)(\.index\.json)?$/,
    'a pickle, which is not read: save the model with safe_serialization=True',
  ],
  [
    /^consolidated.*\.safetensors$/,
    "in its maker's own layout: get the files that transformers reads (model*.safetensors)",
  ],
  [/^model\..+\.safetensors/, 'a variant: rename it to model.safetensors, or name the file itself as the model'],
  [/\.gguf$/, 'name the file itself as the model'],
  [/^(tf_model\.h5|flax_model\.msgpack|.*\.onnx)$/, 'another framework: get the safetensors checkpoint'],
  [/\.safetensors$/, 'name the file itself as the model when it is the whole of it'],
]

function cureFor(names: readonly string[]): string {
  const broken = names.find((name) => /^model\.safetensors(\.index\.json)?$/.test(name))
  if (broken !== undefined) return `; its '${broken}' is a link to a file that is not there: get the model again`
  for (const [pattern, cure] of otherWeights) {
    const name = names.find((one) => pattern.test(one))
    if (name !== undefined) return `; it has '${name}': ${cure}`
  }
  return ''
}

/**
 * The weight files of a folder, sorted by name.
 * @param chosen - one file in the folder, to be read instead of model.safetensors; a shard stands for all shards of its index.
 * @throws FedloraError `E_MISSING` when there are none or a shard is missing (named), `E_FORMAT` for a bad index.
 */
export async function weightFiles(folder: string, chosen?: string): Promise<string[]> {
  if (chosen !== undefined && isGgufPath(chosen)) return await ggufParts(chosen, readGguf(chosen))
  const single = join(folder, 'model.safetensors')
  const index = join(folder, 'model.safetensors.index.json')
  if (chosen !== undefined && chosen !== single) {
    const shards = (await exists(index)) ? await shardsOf(folder, index) : []
    return shards.includes(chosen) ? shards : [chosen]
  }
  if (await exists(single)) return [single]
  if (await exists(index)) return await shardsOf(folder, index)
  throw new FedloraError(
    'E_MISSING',
    `'${folder}' has neither model.safetensors nor model.safetensors.index.json${cureFor(await readdir(folder).catch(() => []))}`,
    { folder },
  )
}
