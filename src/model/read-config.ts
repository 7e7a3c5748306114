/** What a model says about itself, whatever it is stored in. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../errors.js'
import { exists } from '../files/atomic.js'
import { readJsonObject } from '../files/json.js'
import { findModel } from '../files/model-source.js'
import { isGgufPath } from '../gguf/metadata.js'
import { type ModelConfig, parseModelConfig } from './config.js'
import { ggufConfig } from './gguf/config.js'

/**
 * Reads `config.json` and, when there, `generation_config.json` of a model, named as `loadModel` takes it; of a GGUF file, its metadata.
 * @throws FedloraError `E_MISSING`, `E_FORMAT`, `E_CONFIG`, `E_UNSUPPORTED`.
 */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  const { folder: found, file } = await findModel(folder)
  if (file !== undefined && isGgufPath(file)) return await ggufConfig(file)
  const path = join(found, 'config.json')
  if (!(await exists(path)) && (await exists(join(found, 'adapter_config.json')))) {
    throw new FedloraError(
      'E_MISSING',
      `'${found}' is an adapter, not a model: it has no config.json. Load its base model, then the adapter with loadAdapter (--adapter)`,
      { path },
    )
  }
  const gguf = (await exists(path)) ? undefined : (await readdir(found).catch(() => [])).find(isGgufPath)
  if (gguf !== undefined) {
    throw new FedloraError(
      'E_MISSING',
      `'${found}' has no config.json, but '${gguf}': name the file itself as the model`,
      { path },
    )
  }
  const raw = await readJsonObject(path, 'model folder')
  const generationPath = join(found, 'generation_config.json')
  const generation = (await exists(generationPath)) ? await readJsonObject(generationPath, 'model folder') : undefined
  return parseModelConfig(raw, path, generation)
}
