/** Runs a program of test/support in a process of its own. A program that does not end is killed and reported as such, never retried. */
import { type ChildProcess, spawn } from 'node:child_process'
import { resolve } from 'node:path'

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  /** It was still running when the watchdog looked. */
  hung: boolean
}

export interface ProgramOptions {
  /** Arguments of node itself. */
  node?: string[]
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** Called with each piece of standard output. */
  onOutput?: (text: string, child: ChildProcess) => void
  /** Seconds. */
  patience?: number
}

/** Collects what a child says until it ends. */
export function follow(child: ChildProcess, { onOutput, patience = 150 }: ProgramOptions = {}): Promise<Ended> {
  return new Promise((done) => {
    const ended: Ended = { code: null, signal: null, stdout: '', stderr: '', hung: false }
    const watchdog = setTimeout(() => {
      ended.hung = true
      child.kill('SIGKILL')
    }, patience * 1000)
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      ended.stdout += text
      onOutput?.(ended.stdout, child)
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      ended.stderr += text
    })
    child.once('close', (code, signal) => {
      clearTimeout(watchdog)
      done({ ...ended, code, signal })
    })
  })
}

/** A JavaScript program below test/support; it uses the built package in dist/. */
export function runProgram(program: string, words: string[] = [], options: ProgramOptions = {}): Promise<Ended> {
  // `env` takes out the preload that the test runner puts into every child: it handles signals in its own way.
  const child = spawn(
    'env',
    ['-u', 'NODE_OPTIONS', process.execPath, ...(options.node ?? []), resolve('test/support', program), ...words],
    { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  return follow(child, options)
}
