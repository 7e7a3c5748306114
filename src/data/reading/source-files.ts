/** The files that a source names: one, several, those of a folder, or those that a pattern matches. */
import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, extname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FedloraError } from '../../errors.js'
import { readError } from './bytes.js'

export type FileKind = '.jsonl' | '.json' | '.csv' | '.tsv' | '.txt' | '.parquet'

export interface SourceFile {
  readonly path: string
  readonly kind: FileKind
}

const kinds: Readonly<Record<string, FileKind>> = {
  '.jsonl': '.jsonl',
  '.ndjson': '.jsonl',
  '.json': '.json',
  '.csv': '.csv',
  '.tsv': '.tsv',
  '.tab': '.tsv',
  '.txt': '.txt',
}
/** Files that are packed in themselves. */
const tables: Readonly<Record<string, FileKind>> = { '.parquet': '.parquet', '.pq': '.parquet' }
const packed = ['.gz', '.zst']
const known = `${Object.keys(kinds).join(', ')}, each also with ${packed.join(' or ')} behind; ${Object.keys(tables).join(', ')}`

/** Kinds that are not read, and what helps. */
const cures: Readonly<Record<string, string>> = {
  '.arrow': "convert it with Python: datasets.Dataset.from_file(FILE).to_json('rows.jsonl')",
  '.feather': `convert it with Python: pandas.read_feather(FILE).to_json('rows.jsonl', orient='records', lines=True)`,
  '.xlsx': 'save the sheet as "CSV UTF-8"',
  '.xls': 'save the sheet as "CSV UTF-8"',
  '.ods': 'save the sheet as CSV in UTF-8',
  '.zip': 'unpack it and name the folder',
  '.tar': 'unpack it and name the folder',
  '.tgz': 'unpack it and name the folder',
  '.bz2': 'unpack it: bunzip2 FILE',
  '.xz': 'unpack it: unxz FILE',
  '.md': 'name it .txt',
  '.yaml': 'write the rows as .jsonl, one object a line',
  '.yml': 'write the rows as .jsonl, one object a line',
}

const isPacked = (name: string) => packed.includes(extname(name).toLowerCase())
const inner = (name: string) => (isPacked(name) ? name.slice(0, -extname(name).length) : name)
const kindOf = (name: string) => kinds[extname(inner(name)).toLowerCase()] ?? tables[extname(name).toLowerCase()]

function refuseKind(file: string): never {
  const extension = extname(file).toLowerCase()
  const cure = cures[extension] ?? cures[extname(inner(file)).toLowerCase()]
  const isTable = isPacked(file) && Object.hasOwn(tables, extname(inner(file)).toLowerCase())
  const name = isTable
    ? 'unpack it: Parquet packs its columns itself'
    : isPacked(file)
      ? `what lies in it is known by the name before ${extension}, such as rows.jsonl${extension}`
      : undefined
  const message =
    cure === undefined
      ? `unknown kind of file; expected a name that ends in ${known}`
      : `${extension} files are not read`
  const help = cure?.replaceAll('FILE', basename(file)) ?? name
  throw new FedloraError('E_ARGUMENT', `${file}: ${message}${help === undefined ? '' : `; ${help}`}`, { file })
}

const ascending = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

async function entries(folder: string): Promise<Dirent[]> {
  try {
    const found = await readdir(folder, { withFileTypes: true })
    return found.filter(({ name }) => !name.startsWith('.')).sort((a, b) => ascending(a.name, b.name))
  } catch (error) {
    throw readError(folder, error)
  }
}

/** Every file below `folder` in order of its path; names that begin with a dot are left out. */
async function* walk(folder: string): AsyncGenerator<string> {
  for (const entry of await entries(folder)) {
    const path = join(folder, entry.name)
    const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectory(path)))
    if (isFolder) yield* walk(path)
    else yield path
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true
}

async function filesOfFolder(folder: string): Promise<string[]> {
  const files: string[] = []
  const others = new Set<string>()
  for await (const path of walk(folder)) {
    if (kindOf(path) !== undefined) files.push(path)
    else others.add(extname(path).toLowerCase())
  }
  const found = new Set(files.map((path) => kindOf(path)))
  if (found.has('.txt') && found.size > 1) {
    const message = `${folder}: holds both .txt files and files of rows (${[...found].join(', ')}); name the ones you mean, such as '${join(folder, '*.txt')}'`
    throw new FedloraError('E_ARGUMENT', message, { file: folder })
  }
  if (files.length > 0) return files
  const seen =
    others.size === 0
      ? 'it holds no file'
      : `it holds ${[...others].map((name) => name || 'files without an extension').join(', ')}`
  const cure = [...others].map((name) => cures[name]).find((text) => text !== undefined)
  throw new FedloraError(
    'E_ARGUMENT',
    `${folder}: holds no file of a known kind (${known}): ${seen}${cure === undefined ? '' : `; ${cure}`}`,
    { file: folder },
  )
}

const isPattern = (path: string) => /[*?[\]{}]/.test(path)

/** A pattern as an expression over paths with forward slashes: * and ? within a name, ** over folders, [a-c], {a,b}. */
export function patternExpression(pattern: string): RegExp {
  let source = ''
  let braces = 0
  for (let at = 0; at < pattern.length; ++at) {
    const character = pattern[at]!
    if (pattern.startsWith('**/', at)) {
      source += '(?:[^/]+/)*'
      at += 2
    } else if (character === '*') source += '[^/]*'
    else if (character === '?') source += '[^/]'
    else if (character === '{') {
      braces++
      source += '(?:'
    } else if (character === '}' && braces > 0) {
      braces--
      source += ')'
    } else if (character === ',' && braces > 0) source += '|'
    else if (character === '[' && pattern.indexOf(']', at + 2) > 0) {
      const end = pattern.indexOf(']', at + 2)
      source += `[${pattern
        .slice(at + 1, end)
        .replace(/^!/, '^')
        .replace(/[\\[]/g, '\\$&')}]`
      at = end
    } else source += character.replace(/[.+^${}()|[\]\\]/g, '\\$&')
  }
  return new RegExp(`^${source}$`)
}

async function filesOfPattern(pattern: string): Promise<string[]> {
  const slashed = sep === '\\' ? pattern.replaceAll('\\', '/') : pattern
  const parts = slashed.split('/')
  const fixed = parts.slice(0, parts.findIndex(isPattern))
  const base = fixed.join('/') || (slashed.startsWith('/') ? '/' : '.')
  const expression = patternExpression(slashed.replace(/^\.\//, ''))
  const files: string[] = []
  if (await isDirectory(base)) {
    for await (const path of walk(base)) {
      if (expression.test(path.replaceAll('\\', '/')) && kindOf(path) !== undefined) files.push(path)
    }
  }
  if (files.length > 0) return files
  throw new FedloraError('E_MISSING', `${pattern}: matches no file of a known kind (${known})`, { file: pattern })
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}

async function filesOf(path: string): Promise<string[]> {
  if (await isDirectory(path)) return await filesOfFolder(path)
  if (isPattern(path) && !(await exists(path))) return await filesOfPattern(path)
  return [path]
}

/** @throws FedloraError `E_ARGUMENT` for kinds that are not read, `E_MISSING` for a pattern without a match, `E_IO`. */
export async function sourceFiles(paths: readonly (string | URL)[]): Promise<SourceFile[]> {
  const files: SourceFile[] = []
  for (const given of paths) {
    for (const path of await filesOf(given instanceof URL ? fileURLToPath(given) : given)) {
      files.push({ path, kind: kindOf(path) ?? refuseKind(path) })
    }
  }
  return files
}
