/**
 * Kills a piece of asynchronous work at its n-th step, within this process: from there on whatever it writes, flushes, renames, removes or
 * sends never happens and never returns, as after SIGKILL. Other work goes on.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import fs from 'node:fs/promises'
import http from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { devNull } from 'node:os'

/** One life: it ends at step `at`; 0: never. */
export interface Life {
  at: number
  steps: number
  dead: boolean
  /** What the last step was. */
  last: string
  /** Files that it has opened: whoever dies has none any more. */
  files: { close(): Promise<void> }[]
  onDeath: () => void
}

const lives = new AsyncLocalStorage<Life>()
const { open } = fs

/** True when the work of this life may go on. */
function step(name: string): boolean {
  const life = lives.getStore()
  if (life === undefined) return true
  if (!life.dead) {
    life.steps++
    life.last = name
    if (life.steps === life.at) {
      life.dead = true
      life.onDeath()
    }
  }
  return !life.dead
}

const never = () => new Promise<never>(() => {})

/** A step before the deed, and one between the deed and its answer. */
function mortal<F extends (...values: never[]) => Promise<unknown>>(name: string, deed: F): F {
  return async function (this: unknown, ...values: never[]) {
    if (!step(`before ${name}`)) return await never()
    const result = await deed.apply(this, values)
    return step(`after ${name}`) ? result : await never()
  } as unknown as F
}

/** Opens a file of the life that asks for it. */
const opened: typeof fs.open = async (...values) => {
  const life = lives.getStore()
  const file = await open(...values)
  if (life?.dead) await file.close()
  else life?.files.push(file)
  return file
}

class DeadRequest extends EventEmitter {
  setTimeout() {}
  destroy() {}
  end() {}
}

let installed = false

async function install(): Promise<void> {
  if (installed) return
  installed = true
  const handle = await fs.open(devNull, 'r')
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  for (const name of ['sync', 'writeFile']) prototype[name] = mortal(name, prototype[name])
  fs.open = mortal('open', opened)
  for (const name of ['rename', 'rm', 'mkdir'] as const) fs[name] = mortal(name, fs[name] as never) as never
  const send = http.request
  http.request = ((url: URL, ...rest: never[]) => {
    const life = lives.getStore()
    const method = url.pathname?.split('/').at(-1)
    if (life === undefined) return (send as (...values: unknown[]) => unknown)(url, ...rest)
    if (!step(`before ${method}`)) return new DeadRequest()
    const request = (send as (...values: unknown[]) => http.ClientRequest)(url, ...rest)
    const emit = request.emit.bind(request)
    request.emit = ((event: string, ...values: unknown[]) => {
      if (event === 'response' && !lives.run(life, () => step(`after ${method}`))) return true
      return life.dead || emit(event, ...values)
    }) as never
    return request
  }) as never
  syncBuiltinESMExports()
}

/** Runs `work` until it ends or dies; gives its life. */
export async function live(at: number, work: () => Promise<unknown>): Promise<Life> {
  await install()
  let onDeath = () => {}
  const death = new Promise<void>((resolve) => {
    onDeath = resolve
  })
  const life: Life = { at, steps: 0, dead: false, last: '', files: [], onDeath }
  await lives.run(life, () => Promise.race([work(), death]))
  for (const file of life.files) await file.close()
  return life
}
