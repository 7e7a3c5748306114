/**
 * `recipe.json` in a run folder: the config that a run was started with, flags included and places absolute, so that `--resume FOLDER` is
 * enough to go on, and `--config FOLDER/recipe.json` begins the same anew.
 */
import { join } from 'node:path'
import { exists } from '../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../files/json.js'
import { resumeTarget } from '../run/checkpoint.js'
import type { FlagValues } from './arguments.js'
import { type Config, text } from './command.js'
import type { ConfigFile } from './config-file.js'
import { absolute } from './open-model.js'
import { UsageError } from './usage.js'
import { shownPath } from './words.js'

const fileName = 'recipe.json'

/** Which command goes on in a folder, by the kind that its config.json tells. */
const commands: Readonly<Record<string, string>> = { train: 'train', federation: 'simulate' }

/** Fields that name places. */
const places: Readonly<Record<string, readonly string[]>> = {
  model: ['path', 'adapter'],
  data: ['path', 'tokenizer', 'cacheDir'],
  evaluate: ['path', 'tokenizer', 'cacheDir'],
  train: ['tensorboard'],
}

/** Fields that belong to one start of a run. */
const passing = ['outputDir', 'resumeFrom']

function lasting(name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).filter(([key, field]) => field !== undefined && !passing.includes(key))
  const stored = fields.map(([key, field]) => {
    const isPlace = places[name]?.includes(key)
    const place = (one: unknown) => (isPlace && typeof one === 'string' ? absolute(one) : one)
    return [key, Array.isArray(field) ? field.map(place) : place(field)]
  })
  return Object.fromEntries(stored)
}

/** The config with the flags that stand for fields of it. */
export function recipeOf(config: Config, flags: FlagValues): Record<string, unknown> {
  const flagged = {
    model: { path: flags.model, adapter: flags.adapter, device: flags.device },
    data: { path: flags.data, format: flags.format, validation: flags.validation },
  }
  const sections: Record<string, unknown> = { ...config }
  for (const [name, fields] of Object.entries(flagged)) {
    const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
    if (Object.keys(given).length > 0) sections[name] = { ...(sections[name] as object | undefined), ...given }
  }
  return Object.fromEntries(Object.entries(sections).map(([name, value]) => [name, lasting(name, value)]))
}

export async function writeRecipe(folder: string, recipe: Record<string, unknown>): Promise<void> {
  await writeJsonFile(join(folder, fileName), recipe)
}

/**
 * What the folder of `--resume` remembers; nothing for a run that was begun by a program.
 * @throws UsageError when there is no such folder, or another command's run lies there.
 */
export async function rememberedRecipe(command: string, flags: FlagValues): Promise<ConfigFile | undefined> {
  const path = text(flags, 'resume')
  if (path === undefined) return undefined
  const { folder, number } = resumeTarget(path)
  for (const place of number === undefined ? [folder] : [folder, path]) {
    if (await exists(place)) continue
    throw new UsageError(`--resume: '${place}' does not exist`, { folder }, 'E_CHECKPOINT')
  }
  const config = join(folder, 'config.json')
  const kind = (await exists(config)) ? String((await readJsonObject(config, '--resume')).kind) : undefined
  if (kind !== undefined && commands[kind] !== command) {
    const other = commands[kind]
    const what = other === undefined ? 'is no run folder' : `is a run of fedlora ${other}`
    throw new UsageError(`--resume: '${folder}' ${what}`, { folder, kind }, 'E_CHECKPOINT')
  }
  const recipe = join(folder, fileName)
  if (!(await exists(recipe))) return undefined
  return { value: await readJsonObject(recipe, '--resume'), locate: () => shownPath(recipe) }
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/** The command that goes on with a run. */
export function resumeCommand(command: string, folder: string): string {
  const program = process.env.npm_command === 'exec' ? 'npx fedlora' : 'fedlora'
  return `${program} ${command} --resume ${quoted(shownPath(folder))}`
}
