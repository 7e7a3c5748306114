/** The safetensors files of a model folder: one file, or the shards that an index lists. */
import { join } from 'node:path'
import { FedloraError } from '../errors.js'
import { exists, readJsonObject } from '../files/atomic.js'

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

/**
 * The weight files of a folder, sorted by name.
 * @throws FedloraError `E_MISSING` when there are none or a shard is missing (named), `E_FORMAT` for a bad index.
 */
export async function weightFiles(folder: string): Promise<string[]> {
  const single = join(folder, 'model.safetensors')
  if (await exists(single)) return [single]
  const index = join(folder, 'model.safetensors.index.json')
  if (await exists(index)) return await shardsOf(folder, index)
  const pickled = await exists(join(folder, 'pytorch_model.bin'))
  const cure = pickled
    ? "; 'pytorch_model.bin' is a pickle, which is not read: save the model with safe_serialization=True"
    : ''
  throw new FedloraError(
    'E_MISSING',
    `'${folder}' has neither model.safetensors nor model.safetensors.index.json${cure}`,
    { folder },
  )
}
