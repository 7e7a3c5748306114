/** The files of a model folder beside config and weights: tokenizer, chat template, generation settings. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { copyFileIfThere, ioError } from '../files/atomic.js'

const sidePattern =
  /^(tokenizer.*\.(json|model)|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|.*\.tiktoken|chat_template\.(jinja|json)|generation_config\.json|preprocessor_config\.json)$/

/** Their names, sorted. */
export async function sideFiles(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => sidePattern.test(name)).sort()
  } catch (error) {
    throw ioError(error, `cannot read '${folder}'`)
  }
}

/** Copies them. */
export async function copySideFiles(from: string, to: string): Promise<void> {
  for (const name of await sideFiles(from)) await copyFileIfThere(join(from, name), join(to, name))
}
