/** The modules that a PEFT config means: target_modules, exclude_modules, layers_to_transform, layers_pattern. */
import { endsWithName, matchTargets, refuseOutsideBlocks, wholeName } from '../adapter-options.js'
import type { Fields } from '../fields.js'
import { PythonPattern } from '../python-regex/match.js'
import { isNeutral, type Modules, unsupported } from './method.js'

/** The fields that are read here. */
export const targetFields = ['exclude_modules', 'layers_pattern', 'layers_to_transform', 'target_modules']

function excludes(value: unknown, where: string): (module: string) => boolean {
  if (isNeutral(value) || value === '') return () => false
  if (typeof value === 'string') return wholeName(value, `${where}: exclude_modules`)
  if (!Array.isArray(value)) unsupported(where, 'exclude_modules', value, 'expected a list or a regular expression')
  return (module) => endsWithName(module, value as string[])
}

/**
 * PEFT's layers_to_transform: the layer's number is the first behind a name of layers_pattern (each a piece of a regular expression), or
 * behind any name but the first. Source: peft 0.21, tuners/tuners_utils.py, check_target_module_exists.
 */
function onlyLayers(fields: Fields, where: string): (module: string) => boolean {
  const value = fields.values.layers_to_transform
  const patterns = fields.values.layers_pattern ?? []
  const given = (typeof patterns === 'string' ? [patterns] : (patterns as unknown[])).filter((one) => one !== '')
  if (value === undefined || value === null) {
    if (given.length > 0) fields.fail('layers_to_transform', 'layer numbers beside layers_pattern')
    return () => true
  }
  const layers = Array.isArray(value) ? value : [value]
  if (layers.length === 0) return () => true
  if (layers.some((layer) => !Number.isInteger(layer))) fields.fail('layers_to_transform', 'layer numbers')
  if (given.some((one) => typeof one !== 'string')) fields.fail('layers_pattern', 'a name or a list of names')
  const sources = given.length === 0 ? ['.*?\\.[^.]*'] : given.map((one) => `(?:^|.*?\\.)${one}`)
  const expressions = sources.map((one) => new PythonPattern(`${one}\\.(?P<idx>\\d+)\\.`, `${where}: layers_pattern`))
  return (module) => {
    const match = expressions.map((one) => one.match(module)).find((one) => one !== undefined)
    const index = match?.group('idx')
    return index !== undefined && layers.includes(Number(index))
  }
}

/** Whether target_modules, layers_to_transform and layers_pattern mean a module of this name. */
function targeting(target: string | string[], fields: Fields, where: string): (module: string) => boolean {
  if (typeof target === 'string') {
    for (const field of ['layers_to_transform', 'layers_pattern']) {
      if (fields.has(field)) fields.fail(field, 'null where target_modules is one text, as PEFT has it')
    }
    return wholeName(target, `${where}: target_modules`)
  }
  const inLayers = onlyLayers(fields, where)
  // A module that is listed by its whole name is meant in whatever layer it is.
  return (module) => target.includes(module) || (endsWithName(module, target) && inLayers(module))
}

/**
 * The modules that a config means, in forward order.
 * @throws FedloraError `E_UNSUPPORTED` for the head or the embedding, `E_CONFIG` for a bad value, `E_MISSING` for targets that match nothing.
 */
export function readTargets(fields: Fields, { linears, head, embedding }: Modules): string[] {
  const { values: raw, where } = fields
  const target = raw.target_modules ?? ['q_proj', 'v_proj'] // PEFT's own default for these families
  if (typeof target !== 'string' && !Array.isArray(target)) fields.fail('target_modules', 'a string or a list of names')
  const everything = typeof target === 'string' && target.toLowerCase() === 'all-linear'
  const isExcluded = excludes(raw.exclude_modules, where)
  const isTarget = everything ? () => true : targeting(target as string | string[], fields, where)
  const means = (module: string) => isTarget(module) && !isExcluded(module)
  if (!everything) refuseOutsideBlocks([head, embedding].filter(means), head)
  const targets = linears.filter(means)
  if (targets.length === 0) {
    if (!everything && !linears.some(isTarget)) matchTargets(Array.isArray(target) ? target : [target], linears, head)
    fields.fail('target_modules', 'at least one module that is not excluded')
  }
  return targets
}
