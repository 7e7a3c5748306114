/** A tokenizer from its folder. */
import { FedloraError } from '../../errors.js'
import { findModel } from '../../files/model-source.js'
import { native } from '../../native/load.js'
import { located } from './encoding.js'
import { Tokenizer } from './tokenizer.js'
import { sectionsOfClass } from './tokenizer-class.js'
import { declaredTokens, readTokenizerFiles } from './tokenizer-files.js'

/**
 * Reads a tokenizer from a Hugging Face folder, or by its id in the local cache: tokenizer.json, and where present tokenizer_config.json,
 * special_tokens_map.json, chat_template.jinja, config.json and generation_config.json.
 *
 * @throws E_TOKENIZER when tokenizer.json is missing or not understood; E_IO when a file cannot be read
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const found = await findModel(folder, 'tokenizer').catch((error) => {
    throw new FedloraError('E_TOKENIZER', error.message, error.details, error)
  })
  const files = await readTokenizerFiles(found.folder)
  const changes = { ...sectionsOfClass(files), added_tokens: [declaredTokens(files)] }
  try {
    const handle = await native().openTokenizer(files.tokenizer, JSON.stringify(changes))
    return new Tokenizer(found.folder, files, handle)
  } catch (error) {
    throw located(found.folder, error, 0, 'not understood: ')
  }
}
