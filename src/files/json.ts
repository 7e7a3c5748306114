/** Files that hold one JSON object. */
import { readFile } from 'node:fs/promises'
import { FedloraError } from '../errors.js'
import { ioError, writeTextFile } from './atomic.js'

/** An object as JSON has it: any of its values may be anything. */
export type Json = Record<string, unknown>

/**
 * Reads a JSON file that holds an object.
 * @param what - the kind of the file, for messages.
 * @param parse - another reading of the text.
 * @throws FedloraError `E_MISSING` when it is not there, `E_FORMAT` when it is not a JSON object.
 */
export async function readJsonObject(
  path: string,
  what: string,
  parse: (text: string) => unknown = JSON.parse,
): Promise<Json> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new FedloraError('E_MISSING', `${what}: '${path}' does not exist`, { path }, error)
    }
    throw ioError(error, `cannot read '${path}'`)
  }
  let value: unknown
  try {
    value = parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new FedloraError('E_FORMAT', `${what}: '${path}' is not JSON: ${(error as Error).message}`, { path }, error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FedloraError(
      'E_FORMAT',
      `${what}: '${path}' holds ${Array.isArray(value) ? 'an array' : String(value)}, expected an object`,
      { path },
    )
  }
  return value as Json
}

/** Writes a value as indented JSON, atomically. */
export async function writeJsonFile(path: string, value: unknown): Promise<void> {
  await writeTextFile(path, `${JSON.stringify(value, null, 2)}\n`)
}
