/**
 * The folder that a model is written to. It must be new or empty; `overwrite` replaces a model that was written here before and is as it
 * was left, and nothing else: `fedlora-files.json` lists what was written.
 */
import { readdir, realpath, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { hashFile, ioError, makeFolder, replaceFile } from '../files/atomic.js'
import { type Json, readJsonObject, writeJsonFile } from '../files/json.js'
import { rewriteJson } from './json-numbers.js'
import { copySideFiles, sideFiles } from './side-files.js'

export const overwriteShape = {
  overwrite: z
    .boolean()
    .default(false)
    .describe('replace a model that was written to this folder before; a folder with anything else in it is refused'),
}

const manifest = 'fedlora-files.json'
const weightsFile = 'model.safetensors'

/** What a killed run leaves of a file that it was writing. */
const leftover = /^\..+\.\d+\.[0-9a-f]{8}\.tmp/

/** Tells one content from another: weights by their length, other files by all their bytes. */
async function fingerprint(path: string): Promise<string> {
  if (path.endsWith('.safetensors')) return `${(await stat(path)).size} bytes`
  return await hashFile(path)
}

/** The entries of a folder that were not written here, or were changed since. */
async function foreignEntries(folder: string, names: readonly string[]): Promise<string[]> {
  const files = (await readJsonObject(join(folder, manifest), 'output folder')).files as Json | undefined
  const foreign: string[] = []
  for (const name of names) {
    if (name === manifest || leftover.test(name)) continue
    const left = files?.[name]
    if (left === undefined) foreign.push(name)
    else if (left !== null && left !== (await fingerprint(join(folder, name)))) foreign.push(`${name} (changed since)`)
  }
  return foreign
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    if (!(await stat(folder).catch(() => undefined))?.isFile()) throw ioError(error, `cannot read '${folder}'`)
    throw new FedloraError('E_ARGUMENT', `the output folder '${folder}' is a file; choose another`, { folder })
  }
}

/**
 * Refuses a folder that must not be written to, before any work.
 * @param doing - 'merge' or 'quantize', for messages.
 * @param from - the folder of the model that is read, when it is known.
 * @returns its absolute path.
 * @throws FedloraError `E_ARGUMENT` naming what is in the way; `E_IO`.
 */
export async function checkOutputFolder(
  output: string,
  doing: string,
  overwrite: boolean,
  from?: string,
): Promise<string> {
  const folder = resolve(output)
  const names = await list(folder)
  const refuse = (why: string) => {
    throw new FedloraError('E_ARGUMENT', `${doing}: the output folder '${folder}' ${why}`, { folder })
  }
  if (from !== undefined && (await realpath(folder).catch(() => folder)) === (await realpath(from))) {
    refuse("is the model's own folder; choose another")
  }
  if (names.length === 0) return folder
  const ours = names.includes(manifest)
  const shown = names.slice(0, 6).join(', ') + (names.length > 6 ? ` and ${names.length - 6} more` : '')
  if (!ours) refuse(`is not empty (${shown}) and was not written by fedlora; choose another`)
  if (!overwrite)
    refuse(`holds a model written before (${shown}); choose another, or replace it with overwrite (--overwrite)`)
  const foreign = await foreignEntries(folder, names)
  if (foreign.length > 0)
    refuse(`holds what fedlora did not write: ${foreign.join(', ')}; move it away, or choose another`)
  return folder
}

/**
 * Writes weights, the side files of `from` and its changed config.json. A model that is replaced stays whole until the new weights are;
 * when a new folder fails, nothing of it is left.
 * @param folder - as `checkOutputFolder` gave it.
 * @param weights - writes model.safetensors under the path it is given.
 */
export async function writeModelFolder(
  folder: string,
  from: string,
  weights: (path: string) => Promise<void>,
  config: (raw: Json) => Json,
): Promise<void> {
  const files = [weightsFile, ...(await sideFiles(from)), 'config.json']
  const before = await list(folder)
  let made: string | undefined
  try {
    made = await makeFolder(folder)
    if (before.length === 0) await writeManifest(folder, Object.fromEntries(files.map((name) => [name, null])))
    await replaceFile(join(folder, weightsFile), async (temporary) => {
      await weights(temporary)
      // From here on the folder is of two models: without config.json none of them loads.
      await rm(join(folder, 'config.json'), { force: true })
    })
    await copySideFiles(from, folder)
    await rewriteJson(join(from, 'config.json'), join(folder, 'config.json'), config)
    for (const name of before) if (!files.includes(name) && name !== manifest) await rm(join(folder, name))
    const written = await Promise.all(files.map(async (name) => [name, await fingerprint(join(folder, name))]))
    await writeManifest(folder, Object.fromEntries(written))
  } catch (error) {
    if (before.length === 0) await clear(folder, files, made)
    throw ioError(error, `cannot write '${folder}'`)
  }
}

async function writeManifest(folder: string, files: Record<string, string | null>): Promise<void> {
  await writeJsonFile(join(folder, manifest), { files })
}

/** Takes back what a failed run has written; the failure itself matters more than one of these. */
async function clear(folder: string, files: readonly string[], made: string | undefined): Promise<void> {
  for (const name of [...files, manifest]) await rm(join(folder, name), { force: true }).catch(() => {})
  const end = made === undefined ? folder : dirname(made)
  try {
    for (let empty = folder; empty !== end; empty = dirname(empty)) await rmdir(empty)
  } catch {} // what is not empty stays, and so do the folders above it
}
