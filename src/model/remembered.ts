/**
 * `fedlora.json`, beside PEFT's files in an adapter's folder (PEFT does not read it): the format of the rows that the adapter was trained
 * on, so that it is asked as it was taught.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type PromptFormat, promptFormatSchema } from '../data/prompt.js'
import { FedloraError } from '../errors.js'
import { exists, ioError } from '../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../files/json.js'
import { parseOptions } from '../options/parse.js'

const fileName = 'fedlora.json'
const version = 1

const fileSchema = z.strictObject({ version: z.literal(version), prompt: promptFormatSchema })

/** Writes the file, or takes away that of an adapter which stood here before. */
export async function writePromptFormat(folder: string, prompt: PromptFormat | undefined): Promise<void> {
  const path = join(folder, fileName)
  if (prompt !== undefined) return await writeJsonFile(path, { version, prompt })
  try {
    await rm(path, { force: true })
  } catch (error) {
    throw ioError(error, `cannot remove '${path}'`)
  }
}

/**
 * The format of an adapter's folder, or undefined when it says none.
 * @throws FedloraError `E_VERSION` for a file of a later version, `E_FORMAT` naming what is wrong in it.
 */
export async function readPromptFormat(folder: string): Promise<PromptFormat | undefined> {
  const path = join(folder, fileName)
  if (!(await exists(path))) return undefined
  const raw = await readJsonObject(path, 'adapter folder')
  if (typeof raw.version === 'number' && raw.version !== version) {
    const message = `${path}: is of version ${raw.version}, this fedlora reads ${version}; use a newer fedlora, or remove the file`
    throw new FedloraError('E_VERSION', message, { file: path, version: raw.version })
  }
  try {
    return parseOptions(fileSchema, raw, path).prompt
  } catch (error) {
    const message = `${(error as Error).message}; mend the file, or remove it (plain texts are then prompts as they are)`
    throw new FedloraError('E_FORMAT', message, { file: path }, error)
  }
}
