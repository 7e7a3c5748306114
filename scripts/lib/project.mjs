// What the scripts share: where the project is, running a tool, content stamps, and failures with a code and a cure.
// Uses only Node itself, so that it runs before any dependency is installed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const jobs = availableParallelism()

/** A failure that the person at the keyboard can cure: a stable code, what is wrong, and what to do. */
export class ScriptError extends Error {
  constructor(code, message) {
    super(`${code}: ${message}`)
    this.code = code
  }
}

/** Of what a person can cure; all else is thrown. */
function messageOf(error) {
  if (error instanceof ScriptError) return error.message
  if (!/^ERR_PARSE_ARGS_/.test(error?.code)) throw error
  const file = relative(process.cwd(), process.argv[1])
  return `E_ARGUMENT: ${error.message.split('. ')[0]}; the first lines of ${file} say what it takes`
}

/**
 * Runs `main` when the module of `meta` is the program and not an import of one. A ScriptError becomes its message and exit
 * status 1, and so does what parseArgs does not understand; anything else keeps its stack.
 */
export async function runMain(meta, label, main) {
  if (!process.argv[1] || realpathSync(process.argv[1]) !== fileURLToPath(meta.url)) return
  try {
    await main()
  } catch (error) {
    console.error(`${label}: ${messageOf(error)}`)
    process.exitCode = 1
  }
}

/**
 * Runs a tool to its end, its output going to stderr: stdout belongs to the command that follows the set-up.
 * `options.quiet` holds the output back and shows it only on failure; `options.capture` returns stdout instead of showing it.
 * Throws E_TOOL when the tool cannot be started or fails.
 */
export function run(command, args, options = {}) {
  const { quiet = false, capture = false, cwd = root, env = process.env } = options
  /** @type {import('node:child_process').StdioOptions} */
  const stdio = quiet || capture ? ['inherit', 'pipe', 'pipe'] : ['inherit', 2, 2]
  const shell = process.platform === 'win32' && command === 'npm' // a batch file there, which only a shell starts
  const result = spawnSync(command, args, { cwd, env, stdio, shell, encoding: 'utf8', maxBuffer: 1 << 28 })
  const shown = [command, ...args].join(' ')
  if (result.error) throw new ScriptError('E_TOOL', `cannot start \`${shown}\`: ${result.error.message}`)
  if (result.status !== 0) {
    if (quiet || capture) process.stderr.write(`${result.stdout}${result.stderr}`)
    throw new ScriptError('E_TOOL', `\`${shown}\` ended with ${result.signal ?? `status ${result.status}`}`)
  }
  return result.stdout ?? ''
}

/** What a command that speaks JSON said last. */
export const lastJson = (output) => JSON.parse(output.trim().split('\n').at(-1) ?? '')

/** Standard output of a tool, or undefined when it is not there or fails. */
export function probe(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8' })
  return result.error || result.status !== 0 ? undefined : result.stdout.trim()
}

/** All files below `directory` (project-relative, '/'-separated, sorted) whose name matches; none when it does not exist. */
export function listFiles(directory, pattern = /./, base = root) {
  const start = join(base, directory)
  if (!existsSync(start)) return []
  return readdirSync(start, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) =>
      relative(base, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join('/'),
    )
    .sort()
}

/** One hash over names and contents of files, and over `extra` text. */
export function hashFiles(files, extra = '') {
  const hash = createHash('sha256').update(extra)
  for (const file of files) {
    const content = readFileSync(join(root, file))
    hash.update(`\0${file}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex')
}

const stampPath = (name) => join(root, 'build', 'stamps', name)

/** True when `name` was last finished with exactly this hash. */
export function isFresh(name, hash) {
  return existsSync(stampPath(name)) && readFileSync(stampPath(name), 'utf8') === hash
}

export function writeStamp(name, hash) {
  mkdirSync(dirname(stampPath(name)), { recursive: true })
  writeFileSync(stampPath(name), hash)
}

/** The command line of a dependency's program, run by this very Node: [node, script]. */
export function packageProgram(name, program = name) {
  const directory = join(root, 'node_modules', name)
  const file = join(directory, 'package.json')
  if (!existsSync(file)) {
    throw new ScriptError('E_DEPENDENCY', `${name} is not installed; run \`npm ci\` in ${root} first`)
  }
  const { bin } = JSON.parse(readFileSync(file, 'utf8'))
  return [process.execPath, join(directory, typeof bin === 'string' ? bin : bin[program])]
}
