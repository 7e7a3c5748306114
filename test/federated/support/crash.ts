/**
 * A process that dies at a chosen point, within this one: every change of a file, and every call that a test names, is a point. From the chosen
 * one on nothing works any more, neither files nor calls, so that no clearing up runs that a killed process would not run either.
 */
import { promises as files } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

export class Crash extends Error {}

type FileHandle = Awaited<ReturnType<typeof files.open>>
// biome-ignore lint/suspicious/noExplicitAny: calls of any kind, passed on as they came
type Call = (...args: any[]) => Promise<any>

const real = { ...files }

/** Changes of files whose first argument is the file. */
const changes = ['rename', 'rm', 'mkdir'] as const
const looks = ['readFile', 'readdir', 'stat'] as const

export class Crashing {
  /** Points passed so far, by name. */
  readonly points: string[] = []
  readonly #at: number
  readonly #within: string

  /**
   * @param at - the point that is not survived, from 1; Infinity: none.
   * @param within - the folder whose files are the process's; others belong to somebody who lives.
   */
  constructor(at: number, within = '') {
    this.#at = at
    this.#within = within
  }

  get dead(): boolean {
    return this.points.length >= this.#at
  }

  /** Throws when the process is dead, or dies here. */
  point(name: string): void {
    this.#alive()
    this.points.push(name)
    if (this.dead) throw new Crash(`killed at ${name}`)
  }

  #alive(): void {
    if (this.dead) throw new Crash('dead')
  }

  #ours = (path: unknown) => String(path).startsWith(this.#within)

  #changing =
    (name: string, call: Call): Call =>
    async (...args) => {
      if (this.#ours(args[0])) this.point(name)
      return await call(...args)
    }

  #looking =
    (call: Call): Call =>
    async (...args) => {
      if (this.#ours(args[0])) this.#alive()
      return await call(...args)
    }

  /** Writing is a point. So is flushing, which is not done: what is tested is death, not power. */
  #handle(handle: FileHandle): FileHandle {
    return new Proxy(handle, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key)
        if (typeof value !== 'function') return value
        if (key !== 'writeFile' && key !== 'write' && key !== 'sync') return value.bind(target)
        return async (...args: unknown[]) => {
          this.point(`handle.${key}`)
          return key === 'sync' ? undefined : await value.apply(target, args)
        }
      },
    })
  }

  /** Runs `work` with the files of this process. */
  async during<R>(work: () => Promise<R>): Promise<R> {
    const open = async (...args: Parameters<typeof files.open>) => {
      if (!this.#ours(args[0])) return await real.open(...args)
      if (typeof args[1] === 'string' && args[1] !== 'r') this.point(`open ${args[1]}`)
      else this.#alive()
      return this.#handle(await real.open(...args))
    }
    Object.assign(
      files,
      { open },
      Object.fromEntries(changes.map((name) => [name, this.#changing(name, real[name] as Call)])),
      Object.fromEntries(looks.map((name) => [name, this.#looking(real[name] as Call)])),
    )
    syncBuiltinESMExports()
    try {
      return await work()
    } finally {
      Object.assign(files, real)
      syncBuiltinESMExports()
    }
  }
}
