/**
 * Where a model or an adapter lies, by any of its names: a folder, a file in it, or the id of a repository in the local Hugging Face
 * cache (`org/name`, `org/name@revision`), as `hf download` leaves it:
 *   <cache>/models--org--name/refs/<branch or tag>    the commit, as text
 *   <cache>/models--org--name/snapshots/<commit>/     the files, links into ../../blobs
 * Nothing is ever downloaded. Source: huggingface_hub, constants.py and file_download.py.
 */
import type { Stats } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { FedloraError } from '../errors.js'
import { ioError } from './atomic.js'

export interface ModelSource {
  /** Absolute path of the folder. */
  folder: string
  /** The one weight file that was named, when a file was. */
  file?: string
  /** `org/name`, when the folder is a snapshot of the cache. */
  id?: string
  /** The revision that was asked for with `@`. */
  revision?: string
}

/** The cache's folder: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME`/hub, `XDG_CACHE_HOME`/huggingface/hub, ~/.cache/huggingface/hub. */
export function hubCache(environment: NodeJS.ProcessEnv = process.env): string {
  const own = environment.HF_HUB_CACHE || environment.HUGGINGFACE_HUB_CACHE
  const home = environment.HF_HOME || join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface')
  return resolve((own || join(home, 'hub')).replace(/^~(?=$|\/)/, homedir()))
}

async function lookAt(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw ioError(error, `cannot look at '${path}'`)
  }
}

const part = '[A-Za-z0-9][A-Za-z0-9._-]*'
const hubId = new RegExp(`^(${part}(?:/${part})?)(?:@([^@]+))?$`)
const snapshotFolder = /(?:^|[/\\])models--([^/\\]+)[/\\]snapshots[/\\][^/\\]+[/\\]?$/

async function entries(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => [])
}

/** The snapshot of a repository in the cache; undefined when the cache does not have the repository. */
async function snapshot(repository: string, id: string, revision: string): Promise<string | undefined> {
  if ((await lookAt(repository)) === undefined) return undefined
  const safe = !revision.split('/').includes('..')
  const named = safe && (await readFile(join(repository, 'refs', revision), 'utf8').catch(() => undefined))
  const commit = named ? named.trim() : revision
  const folder = join(repository, 'snapshots', commit)
  if (safe && /^[^/\\]+$/.test(commit) && (await lookAt(folder))?.isDirectory()) return folder
  const known = [...(await entries(join(repository, 'refs'))), ...(await entries(join(repository, 'snapshots')))]
  throw new FedloraError(
    'E_MISSING',
    `'${id}' is in the Hugging Face cache, but not its revision '${revision}': '${repository}' has ${known.join(', ') || 'none'}; ` +
      `name one of these (${id}@REVISION), or get it with: hf download ${id}${revision === 'main' ? '' : ` --revision ${revision}`}`,
    { id, revision, repository, known },
  )
}

function refuseFile(path: string): never {
  throw new FedloraError(
    'E_UNSUPPORTED',
    `'${path}' is a file that is not read as a model; expected a folder with config.json and model.safetensors, or a .safetensors or .gguf file` +
      (['.bin', '.pt', '.pth', '.ckpt'].includes(extname(path))
        ? '. It is a pickle: save the model anew with safe_serialization=True'
        : ''),
    { path },
  )
}

/** The file without which a folder is none of its kind. */
const firstFile = { model: 'config.json', adapter: 'adapter_config.json', tokenizer: 'tokenizer.json' }

/**
 * Finds what `name` names; a path that is there goes before an id.
 * @throws FedloraError `E_MISSING` saying where was looked and the cure; `E_UNSUPPORTED` for a file of another kind; `E_ARGUMENT` for an
 * empty name; `E_IO`.
 */
export async function findModel(name: string, what: keyof typeof firstFile = 'model'): Promise<ModelSource> {
  if (name.trim() === '') {
    throw new FedloraError(
      'E_ARGUMENT',
      `${what}: got ${JSON.stringify(name)}, expected a folder or an id in the Hugging Face cache`,
    )
  }
  const path = resolve(name)
  const there = await lookAt(path)
  if (there?.isDirectory()) {
    const repository = snapshotFolder.exec(path)
    return { folder: path, ...(repository && { id: repository[1]!.replace('--', '/') }) }
  }
  if (there !== undefined) {
    const folder = dirname(path)
    if (path.endsWith('.safetensors') || (what !== 'adapter' && /\.gguf$/i.test(path))) return { folder, file: path }
    if (/^(adapter_)?config\.json$|\.safetensors\.index\.json$/.test(basename(path))) return { folder }
    refuseFile(path)
  }
  const [, id, revision] = hubId.exec(name) ?? []
  if (id === undefined) {
    throw new FedloraError(
      'E_MISSING',
      `${what}: '${name}' does not exist (looked for '${join(path, firstFile[what])}')`,
      { path },
    )
  }
  const repository = join(hubCache(), `models--${id.replace('/', '--')}`)
  const folder = await snapshot(repository, id, revision ?? 'main')
  if (folder !== undefined) return { folder, id, ...(revision !== undefined && { revision }) }
  throw new FedloraError(
    'E_MISSING',
    `${what}: '${name}' is neither a folder ('${path}') nor in the Hugging Face cache ('${repository}'). Nothing is downloaded here: ` +
      `get it with \`hf download ${id}\`, or set HF_HUB_CACHE or HF_HOME when the cache lies elsewhere`,
    { path, repository },
  )
}
