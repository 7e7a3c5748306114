/** What can befall a checkpoint, one thing at a time, and how it is refused: a table for everybody who keeps sealed checkpoints. */
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Json = Record<string, unknown>

export interface Damage {
  name: string
  /** @param checkpoint - the folder to damage. */
  befall(checkpoint: string): void
  code: string
  message: RegExp
}

/** Makes copies of the folder `whole` inside `root`, each to be damaged in its own way. */
export function copiesOf(whole: string, root: string): () => string {
  let copies = 0
  return () => {
    const folder = join(root, `copy-${copies++}`)
    cpSync(whole, folder, { recursive: true })
    return folder
  }
}

/** Changes `state.json`, which keeps its seal. */
export function edit(checkpoint: string, change: (state: Json) => void): void {
  const path = join(checkpoint, 'state.json')
  const state = JSON.parse(readFileSync(path, 'utf8')) as Json
  change(state)
  writeFileSync(path, JSON.stringify(state))
}

function turnBit(path: string): void {
  const bytes = readFileSync(path)
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(path, bytes)
}

/** Every damage of a checkpoint that looks like `whole`, which holds `vectors` and nothing else but `state.json`. */
export function damagesOf(whole: string, unit: 'step' | 'round', vectors: readonly string[]): Damage[] {
  const fields = Object.keys(JSON.parse(readFileSync(join(whole, 'state.json'), 'utf8')) as Json)
  const edited = { code: 'E_CHECKPOINT', message: /state\.json was edited/ }
  const state: Damage[] = [
    ...fields.map((field): Damage => {
      const refusal = field === 'version' ? { code: 'E_VERSION', message: /version none, expected 3/ } : edited
      return { name: `no ${field}`, befall: (at) => edit(at, (state) => delete state[field]), ...refusal }
    }),
    { name: `another ${unit}`, befall: (at) => edit(at, (state) => (state[unit] = 1)), ...edited },
    { name: 'a field more', befall: (at) => edit(at, (state) => (state.more = 1)), ...edited },
    {
      name: 'another version',
      befall: (at) => edit(at, (state) => (state.version = 2)),
      code: 'E_VERSION',
      message: /version 2, expected 3; resume with the release that wrote it, or start a new run/,
    },
    {
      name: 'state.json torn',
      befall: (at) => truncateSync(join(at, 'state.json'), 40),
      code: 'E_FORMAT',
      message: /state\.json/,
    },
    {
      name: 'state.json gone',
      befall: (at) => rmSync(join(at, 'state.json')),
      code: 'E_MISSING',
      message: /state\.json/,
    },
    {
      name: 'a foreign file',
      befall: (at) => writeFileSync(join(at, 'other.f32'), 'x'),
      code: 'E_CHECKPOINT',
      message: /holds 'other\.f32'/,
    },
  ]
  const files = vectors.flatMap((vector): Damage[] => {
    const file = `${vector}.f32`
    const damaged = { code: 'E_CHECKPOINT', message: new RegExp(`'${file}' is damaged`) }
    const other = vectors.find((name) => name !== vector)!
    return [
      {
        name: `${vector} gone`,
        befall: (at) => rmSync(join(at, file)),
        code: 'E_CHECKPOINT',
        message: new RegExp(`'${file}' is missing`),
      },
      { name: `${vector} torn`, befall: (at) => truncateSync(join(at, file), 100), ...damaged },
      { name: `one bit of ${vector} turned`, befall: (at) => turnBit(join(at, file)), ...damaged },
      {
        name: `${other} in the place of ${vector}`,
        befall: (at) => cpSync(join(at, `${other}.f32`), join(at, file)),
        ...damaged,
      },
    ]
  })
  const found = readdirSync(whole).sort()
  const named = ['state.json', ...vectors.map((vector) => `${vector}.f32`)].sort()
  if (found.join() !== named.join()) throw new Error(`the checkpoint holds ${found}, not ${named}`)
  return [...state, ...files]
}
