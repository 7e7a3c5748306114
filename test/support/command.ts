/** The command line as a process, for tests. */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Ended, follow } from './programs.js'

export const program = resolve('dist/cli/main.js')

export interface CommandOptions {
  cwd?: string
  environment?: NodeJS.ProcessEnv
  /** Called with all of stdout so far, whenever more comes. */
  onOutput?: (text: string, child: ChildProcess) => void
}

/** The environment of a user's shell: neither the test runner's preload nor a sign of npx. */
const plain = { ...process.env, NODE_OPTIONS: '', npm_command: '' }

/** Runs `fedlora` with these words until it ends. */
export function fedlora(words: readonly string[], { cwd, environment, onOutput }: CommandOptions = {}): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd,
    env: { ...plain, ...environment },
  })
  return follow(child, onOutput && { onOutput })
}

/** Runs a line of bash in which `$F` is fedlora; its exit code is that of the first command of a pipe that fails. */
export function shell(line: string, cwd: string): Promise<Ended> {
  const child = spawn('bash', ['-o', 'pipefail', '-c', line], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd,
    env: { ...plain, F: `${process.execPath} ${program}` },
  })
  return follow(child)
}

/** The lines of NDJSON. */
export function objects(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** A file of rows of ids in a folder. */
export function writeRows(folder: string, name: string, count: number): string {
  const path = join(folder, name)
  const rows = Array.from({ length: count }, (_, row) => {
    const input_ids = Array.from({ length: 8 + (row % 5) }, (_, i) => 3 + ((row * 31 + i * 7) % 250))
    return `${JSON.stringify({ input_ids })}\n`
  })
  writeFileSync(path, rows.join(''))
  return path
}
