// Which source file refers to which: the graph that the layer check walks, and its circles.
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { listFiles } from './project.mjs'

/**
 * @typedef {object} Reference
 * @property {string} target as written: './plan.js', 'zod', 'base/error.h', 'thread'
 * @property {string | undefined} path the file it names, from the tree's root; undefined for what lies in no tree
 * @property {boolean} type it is gone when types are
 *
 * @typedef {Map<string, Reference[]>} Graph file, from the tree's root → what it refers to
 */

/** A tree of sources: which files, how a file names another, and which file a name means. */
const trees = {
  native: {
    files: /\.(h|hpp|cpp|inc|inl|def|cu|cuh)$/,
    /** @returns {Omit<Reference, 'path'>[]} */
    references: (/** @type {string} */ text) =>
      [...text.matchAll(/^\s*#\s*include\s+["<]([^">]+)[">]/gm)].map((match) => ({ target: match[1], type: false })),
    // "room/file.h" is relative to native/; a bare "file.h" lies beside the including file or is a system header.
    resolve: (
      /** @type {string} */ from,
      /** @type {string} */ target,
      /** @type {(path: string) => boolean} */ exists,
    ) => [posix.join(posix.dirname(from), target), target].find(exists),
  },
  src: {
    files: /\.ts$/,
    /** @returns {Omit<Reference, 'path'>[]} */
    references: (/** @type {string} */ text) =>
      [
        ...text.matchAll(
          /(?:\b(?:(import|export)\s+(type\s)?[^'"`;=]*?)?\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*|\bresolve\s*\(\s*)(['"`])([^'"`\n]+)\3/g,
        ),
      ].map((match) => ({ target: match[4], type: match[2] !== undefined })),
    resolve: (
      /** @type {string} */ from,
      /** @type {string} */ target,
      /** @type {(path: string) => boolean} */ exists,
    ) => {
      if (!target.startsWith('.')) return undefined
      const path = posix.join(posix.dirname(from), target)
      const source = path.replace(/\.js$/, '.ts')
      return exists(source) ? source : path
    },
  },
}

export const treeNames = /** @type {(keyof typeof trees)[]} */ (Object.keys(trees))

/**
 * @param {string} base folder that holds the tree
 * @param {keyof typeof trees} tree
 * @returns {Graph}
 */
export function readGraph(base, tree) {
  const { files, references, resolve } = trees[tree]
  const exists = (/** @type {string} */ path) => existsSync(join(base, tree, path))
  return new Map(
    listFiles(tree, files, base).map((full) => {
      const from = full.slice(tree.length + 1)
      const found = references(readFileSync(join(base, full), 'utf8'))
      return [from, found.map((reference) => ({ ...reference, path: resolve(from, reference.target, exists) }))]
    }),
  )
}

/**
 * The circles: sets of files of which each reaches each other, by Tarjan's algorithm. A file that names itself is one too.
 * @param {Graph} graph
 * @returns {string[][]}
 */
export function circles(graph) {
  /** @type {Map<string, { index: number, low: number, open: boolean }>} */
  const seen = new Map()
  /** @type {string[]} */
  const stack = []
  /** @type {string[][]} */
  const found = []
  const visit = (/** @type {string} */ file) => {
    const node = { index: seen.size, low: seen.size, open: true }
    seen.set(file, node)
    stack.push(file)
    for (const { path } of graph.get(file) ?? []) {
      if (path === undefined || !graph.has(path)) continue
      const other = seen.get(path) ?? visit(path)
      if (other.open) node.low = Math.min(node.low, other.low)
    }
    if (node.low === node.index) {
      const group = stack.splice(stack.indexOf(file))
      for (const member of group) /** @type {{ open: boolean }} */ (seen.get(member)).open = false
      if (group.length > 1 || graph.get(file)?.some(({ path }) => path === file)) found.push(group.sort())
    }
    return node
  }
  for (const file of graph.keys()) if (!seen.has(file)) visit(file)
  return found
}

/**
 * The shortest way from a file to one that `wanted` accepts, along what is there when types are gone; undefined when there is none.
 * @param {Graph} graph
 * @param {string} from
 * @param {(path: string) => boolean} wanted
 */
export function wayTo(graph, from, wanted) {
  const ways = [[from]]
  const seen = new Set([from])
  for (const way of ways) {
    for (const { path, type } of graph.get(/** @type {string} */ (way.at(-1))) ?? []) {
      if (type || path === undefined || seen.has(path)) continue
      if (wanted(path)) return [...way, path]
      seen.add(path)
      ways.push([...way, path])
    }
  }
  return undefined
}
