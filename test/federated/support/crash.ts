/**
 * A process that dies at a chosen point, within this one: every change of a file, and every call that a test names, is a point. From the chosen
 * one on nothing works any more, neither files nor calls, so that no clearing up runs that a killed process would not run either.
 */
import { promises as files } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

export class Crash extends Error {}

type FileHandle = Awaited<ReturnType<typeof files.open>>

const real = { ...files }

export class Crashing {
  /** Points passed so far, by name. */
  readonly points: string[] = []
  readonly #at: number

  /** @param at - the point that is not survived, from 1; Infinity: none. */
  constructor(at: number) {
    this.#at = at
  }

  get dead(): boolean {
    return this.points.length >= this.#at
  }

  /** Throws when the process is dead, or dies here. */
  point(name: string): void {
    if (this.dead) throw new Crash(`dead before ${name}`)
    this.points.push(name)
    if (this.dead) throw new Crash(`killed at ${name}`)
  }

  #alive(): void {
    if (this.dead) throw new Crash('dead')
  }

  /** Runs `work` with the files of this process. Flushing is a point, and not done: what is tested is death, not power. */
  async during<R>(work: () => Promise<R>): Promise<R> {
    const before = (name: string, call: (...args: never[]) => unknown, counts = true) =>
      async function (this: unknown, ...args: never[]) {
        if (counts) self.point(name)
        else self.#alive()
        const result = await call.apply(this, args)
        return result
      }
    const self = this
    const handled = (handle: FileHandle): FileHandle =>
      new Proxy(handle, {
        get(target, key) {
          if (key === 'writeFile' || key === 'write') return before(`handle.${key}`, target[key].bind(target) as never)
          if (key === 'sync' || key === 'datasync') return before(`handle.${key}`, async () => {})
          const value = Reflect.get(target, key)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    const open = async (...args: Parameters<typeof files.open>) => {
      const writes = typeof args[1] === 'string' && args[1] !== 'r'
      if (writes) this.point(`open ${args[1]}`)
      else this.#alive()
      return handled(await real.open(...args))
    }
    Object.assign(files, {
      open,
      rename: before('rename', real.rename as never),
      rm: before('rm', real.rm as never),
      mkdir: before('mkdir', real.mkdir as never),
      readFile: before('readFile', real.readFile as never, false),
      readdir: before('readdir', real.readdir as never, false),
      stat: before('stat', real.stat as never, false),
    })
    syncBuiltinESMExports()
    try {
      return await work()
    } finally {
      Object.assign(files, real)
      syncBuiltinESMExports()
    }
  }
}
