/** Python programs of test/parity/python, and the files that they leave. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { follow } from './programs.js'

/** The interpreter of a virtual environment: FEDLORA_PYTHON or --python, a folder or the program itself. */
function findPython(): string | undefined {
  const given = process.argv.find((word) => word.startsWith('--python='))?.slice('--python='.length)
  const place = given ?? process.env.FEDLORA_PYTHON
  if (place === undefined || place === '') return undefined
  const program = existsSync(place) && statSync(place).isDirectory() ? join(place, 'bin', 'python') : place
  if (!existsSync(program)) throw new Error(`no Python at '${program}'`)
  return program
}

const python = findPython()

/** Seed of everything random; another one makes other checkpoints. */
export const seed = process.env.FEDLORA_PARITY_SEED ?? '1'

/** A test that needs Python; without one it is skipped, counted, and says how to run it. */
export function parity(name: string, body: (t: Test) => Promise<void>): void {
  const why = 'no Python: set FEDLORA_PYTHON to a virtual environment with torch, transformers, peft and bitsandbytes'
  t.test(name, python === undefined ? { skip: why } : {}, body)
}

export const scratch = python === undefined ? '' : mkdtempSync(join(tmpdir(), 'fedlora-parity-'))

/** Runs a program of test/parity/python and waits for it. */
export async function runPython(program: string, ...words: string[]): Promise<void> {
  const env = { ...process.env, HF_HUB_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1', PYTHONDONTWRITEBYTECODE: '1' }
  const child = spawn(python!, [join(resolve('test/parity/python'), program), ...words], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const { code, stderr, hung } = await follow(child, { patience: 3000 })
  if (code !== 0) throw new Error(`${program} ${words.join(' ')}: ${hung ? 'hung' : code}\n${stderr.slice(-4000)}`)
}

export interface Raw {
  dtype: string
  shape: number[]
  bytes: Buffer
}

/** A safetensors file, read by other means than those under test. */
export class Tensors {
  readonly metadata: Record<string, string>
  readonly #header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>
  readonly #data: Buffer

  constructor(path: string) {
    const file = readFileSync(path)
    const length = Number(file.readBigUInt64LE(0))
    const { __metadata__: metadata = {}, ...tensors } = JSON.parse(file.toString('utf8', 8, 8 + length))
    this.metadata = metadata
    this.#header = tensors
    this.#data = file.subarray(8 + length)
  }

  names(): string[] {
    return Object.keys(this.#header)
  }

  has(name: string): boolean {
    return name in this.#header
  }

  raw(name: string): Raw {
    const entry = this.#header[name]
    if (entry === undefined) throw new Error(`no tensor ${name}`)
    return { dtype: entry.dtype, shape: entry.shape, bytes: this.#data.subarray(...entry.data_offsets) }
  }

  #copy(name: string, dtype: string): ArrayBuffer {
    const { dtype: found, bytes } = this.raw(name)
    if (found !== dtype) throw new Error(`${name} is ${found}, not ${dtype}`)
    return Uint8Array.from(bytes).buffer
  }

  f32(name: string): Float32Array {
    return new Float32Array(this.#copy(name, 'F32'))
  }

  f64(name: string): Float64Array {
    return new Float64Array(this.#copy(name, 'F64'))
  }

  i32(name: string): Int32Array {
    return new Int32Array(this.#copy(name, 'I32'))
  }

  /** A number of the metadata. */
  bound(key: string): number {
    const value = Number(this.metadata[key])
    if (!(value >= 0)) throw new Error(`no bound ${key}`)
    return value
  }

  /** Rows of ids and labels that were stored one after another. */
  rows(prefix: string): { inputIds: number[][]; labels: number[][] } {
    const ids = this.i32(`${prefix}ids`)
    const labels = this.i32(`${prefix}labels`)
    const rows = { inputIds: [] as number[][], labels: [] as number[][] }
    let begin = 0
    for (const length of this.i32(`${prefix}lengths`)) {
      rows.inputIds.push([...ids.subarray(begin, begin + length)])
      rows.labels.push([...labels.subarray(begin, begin + length)])
      begin += length
    }
    return rows
  }
}

/** Largest magnitude. */
export function largest(values: ArrayLike<number>): number {
  let found = 0
  for (let i = 0; i < values.length; i++) found = Math.max(found, Math.abs(values[i]!))
  return found
}
