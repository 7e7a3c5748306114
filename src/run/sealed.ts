/**
 * A sealed folder: files, and `state.json` that says what they mean. It names every file with its SHA-256 and carries the SHA-256 of
 * itself, so that a torn, edited, missing or foreign part is told from a whole one before any of it is believed. It appears by one rename.
 */
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { hashFile, replaceFolder, syncPath } from '../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../files/json.js'

const stateFile = 'state.json'
const sealSchema = z.object({ version: z.int(), files: z.record(z.string(), z.string()), seal: z.string() })

/** JSON with the keys of every object in order: one text for one content, however a file spells it. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

function sealOf(content: object): string {
  return createHash('sha256').update(canonical(content)).digest('hex')
}

/** Writes `path`: what `fill` puts into the temporary folder, and `state` under `version`. */
export async function writeSealed(
  path: string,
  version: number,
  state: object,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  await replaceFolder(path, async (temporary) => {
    await fill(temporary)
    const files: Record<string, string> = {}
    for (const name of (await readdir(temporary)).sort()) {
      await syncPath(join(temporary, name))
      files[name] = await hashFile(join(temporary, name))
    }
    const content = JSON.parse(JSON.stringify({ version, ...state, files })) as object
    await writeJsonFile(join(temporary, stateFile), { ...content, seal: sealOf(content) })
  })
}

/**
 * The state of a sealed folder and the names of its files, after every one of them has been checked.
 * @throws FedloraError `E_VERSION` for another version; `E_CHECKPOINT` naming what is missing, damaged, edited or foreign;
 * `E_MISSING`, `E_FORMAT`, `E_IO` when `state.json` cannot be read.
 */
export async function readSealed<State extends z.ZodType>(
  path: string,
  version: number,
  schema: State,
): Promise<{ state: z.output<State>; files: string[] }> {
  const refuse = (why: string, details: Record<string, unknown> = {}): never => {
    const cure = 'remove this folder to go on from an earlier state, or start a new run'
    throw new FedloraError('E_CHECKPOINT', `checkpoint '${path}': ${why}; ${cure}`, { path, ...details })
  }
  const { seal, ...content } = await readJsonObject(join(path, stateFile), 'checkpoint')
  if (content.version !== version) {
    const got = JSON.stringify(content.version) ?? 'none'
    const message = `checkpoint '${path}': version ${got}, expected ${version}; resume with the release that wrote it, or start a new run from its adapter`
    throw new FedloraError('E_VERSION', message, { path, version: content.version, expected: version })
  }
  const sealed = sealSchema.safeParse({ ...content, seal })
  if (!sealed.success || sealOf(content) !== seal)
    return refuse(`${stateFile} was edited or damaged: its seal does not fit`)
  const { files } = sealed.data
  for (const name of await readdir(path)) {
    if (name !== stateFile && !Object.hasOwn(files, name))
      refuse(`it holds '${name}', which ${stateFile} does not name`)
  }
  for (const [name, expected] of Object.entries(files)) {
    const got = basename(name) === name ? await hashFile(join(path, name)).catch(() => null) : null
    if (got === null) refuse(`'${name}' is missing or cannot be read`, { file: name })
    if (got !== expected) refuse(`'${name}' is damaged: its SHA-256 is not that of ${stateFile}`, { file: name })
  }
  const { files: _files, version: _version, ...state } = content
  const parsed = schema.safeParse(state)
  if (parsed.success) return { state: parsed.data, files: Object.keys(files) }
  const issue = parsed.error.issues[0]!
  return refuse(`${stateFile}: ${issue.path.join('.')}: ${issue.message}`)
}
