/** What a program beside the package needs: the package under its name, the command on PATH, the small model and data. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const smallModel = join(root, 'assets', 'gsm-3m')

/** Makes `folder` look like a user's project in which fedlora is installed. */
export function makeProject(folder: string): void {
  mkdirSync(join(folder, 'node_modules', '.bin'), { recursive: true })
  mkdirSync(join(folder, '.cache', 'fedlora'), { recursive: true })
  symlinkSync(root, join(folder, 'node_modules', 'fedlora'))
  const command = join(folder, 'node_modules', '.bin', 'fedlora')
  writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'dist', 'cli', 'main.js')}" "$@"\n`)
  chmodSync(command, 0o755)
}

/** A copy of the small model under another name, as a user has his own. */
export function copyModel(folder: string): void {
  cpSync(smallModel, folder, { recursive: true })
}

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** The environment of a program in `project`: its commands on PATH, a home of its own, no coverage or loader of the test's. */
export function projectEnvironment(project: string, more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, FEDLORA_CACHE: _cache, XDG_CACHE_HOME: _xdg, ...rest } = process.env
  return {
    ...rest,
    HOME: project,
    PATH: `${join(project, 'node_modules', '.bin')}${delimiter}${process.env.PATH}`,
    ...more,
  }
}

/** Starts a program; `ended` resolves when it is gone. */
export function start(
  command: string,
  args: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv },
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.on('data', (chunk: Buffer) => {
      said[name] += chunk.toString()
    })
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...said }))
  })
  return { child, ended }
}
