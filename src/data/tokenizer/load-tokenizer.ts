/** A tokenizer from its folder, or out of a GGUF file. */
import { FedloraError } from '../../errors.js'
import { findModel } from '../../files/model-source.js'
import { isGgufPath } from '../../gguf/metadata.js'
import { native } from '../../native/load.js'
import { located } from './encoding.js'
import { readGgufTokenizer } from './gguf-files.js'
import { Tokenizer } from './tokenizer.js'
import { sectionsOfClass } from './tokenizer-class.js'
import { declaredTokens, readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.js'

/** What a folder, an id in the local cache, or a GGUF file says of its tokenizer, and where it lies. */
export async function readSource(source: string): Promise<{ folder: string; files: TokenizerFiles }> {
  const found = await findModel(source, 'tokenizer').catch((error) => {
    throw new FedloraError('E_TOKENIZER', error.message, error.details, error)
  })
  const gguf = found.file !== undefined && isGgufPath(found.file) ? found.file : undefined
  const folder = gguf ?? found.folder
  return { folder, files: gguf === undefined ? await readTokenizerFiles(folder) : readGgufTokenizer(gguf) }
}

/**
 * Reads a tokenizer from a Hugging Face folder, or by its id in the local cache: tokenizer.json, and where present tokenizer_config.json,
 * special_tokens_map.json, chat_template.jinja, config.json and generation_config.json. Of a GGUF file, its metadata.
 *
 * @throws E_TOKENIZER when tokenizer.json is missing or not understood; E_IO when a file cannot be read
 */
export async function loadTokenizer(source: string): Promise<Tokenizer> {
  const { folder, files } = await readSource(source)
  const changes = { ...sectionsOfClass(files), added_tokens: [declaredTokens(files)] }
  try {
    const handle = await native().openTokenizer(files.tokenizer, JSON.stringify(changes))
    return new Tokenizer(folder, files, handle)
  } catch (error) {
    throw located(folder, error, 0, 'not understood: ')
  }
}
