/** Config files: JSON or YAML, with the place of every value for messages. */
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { type Document, isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { UsageError } from './usage.js'

/** `train.yaml:7:3`, or undefined for a value that stands nowhere. */
export type Locate = (path: readonly PropertyKey[]) => string | undefined

export interface ConfigFile {
  value: Record<string, unknown>
  locate: Locate
}

function refuse(path: string, problem: string, cause?: unknown): never {
  throw new UsageError(problem, { path }, 'E_CONFIG', cause)
}

async function readText(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).replace(/^\uFEFF/, '')
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    refuse(
      path,
      `--config: '${path}' ${missing ? 'does not exist' : `cannot be read: ${(error as Error).message}`}`,
      error,
    )
  }
}

/** The node of the deepest part of `path` that stands in the document: the key, where it is one. */
function nodeAt(document: Document, path: readonly PropertyKey[]): Node | undefined {
  let node: unknown = document.contents
  let found: unknown
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(part))
      if (!isPair(pair)) break
      found = pair.key
      node = pair.value
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part]
      found = node ?? found
    } else break
  }
  return found as Node | undefined
}

/**
 * Reads a config file. `.json` is JSON, everything else YAML 1.2 (of which JSON is a part); a key that stands twice is refused in both.
 * @throws UsageError `E_CONFIG` with file, line and column.
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const text = await readText(path)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true })
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `${path}:${line}:${col}`
  }
  const [problem] = [...document.errors, ...document.warnings]
  const at = problem === undefined ? path : place(problem.pos[0])
  let value: unknown
  if (extname(path).toLowerCase() === '.json') {
    try {
      value = JSON.parse(text)
    } catch (error) {
      refuse(path, `${at}: '${path}' is not JSON: ${(error as Error).message}`, error)
    }
    if (problem?.code === 'DUPLICATE_KEY') refuse(path, `${at}: ${problem.message}`, problem)
  } else {
    if (problem !== undefined) refuse(path, `${at}: '${path}' is not YAML: ${problem.message}`, problem)
    try {
      value = document.toJS()
    } catch (error) {
      refuse(path, `'${path}' is not YAML: ${(error as Error).message}`, error)
    }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    refuse(path, `'${path}' holds ${Array.isArray(value) ? 'an array' : String(value)}, expected an object of sections`)
  }
  const locate: Locate = (keys) => {
    const range = problem === undefined ? nodeAt(document, keys)?.range : undefined
    return range ? place(range[0]) : path
  }
  return { value: value as Record<string, unknown>, locate }
}
