/** Adapters that PEFT trained over a whole multimodal model: their modules have the names that these have in the whole. */
import { listed } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { adapterLayers, configOfLayers } from '../adapter-options.js'
import { partsOf, textPrefixes } from '../text-part.js'
import type { AdapterMeaning, Modules } from './method.js'

/** The name of a text model's module in the model that was trained. */
export type Spelling = (module: string) => string

const plain: Spelling = (module) => module

/** Behind a prefix names stand whole, or without the `model.` that the prefix has instead. */
const spellings: readonly Spelling[] = [
  plain,
  ...textPrefixes.flatMap((before): Spelling[] => [
    (module) => before + module,
    (module) => before + module.replace(/^model\./, ''),
  ]),
]

const factor = /^base_model\.model\.(.*)(\.lora_[AB]\.weight)$/

/** Module and part of a factor's name. */
function moduleOf(tensor: string): { module: string; part: string } | undefined {
  const [, module, part] = factor.exec(tensor) ?? []
  return module === undefined || part === undefined ? undefined : { module, part }
}

/**
 * How an adapter's tensors spell the modules of a text model.
 * @throws FedloraError `E_UNSUPPORTED` when they are of a multimodal model, and none is of its text part.
 */
export function spellingOf(tensors: readonly string[], { linears, textOf }: Modules, folder: string): Spelling {
  const modules = new Set(tensors.map((tensor) => moduleOf(tensor)?.module))
  const found = spellings.find((spell) => linears.some((module) => modules.has(spell(module))))
  if (found !== undefined || textOf === undefined) return found ?? plain
  const parts = [...partsOf([...modules].filter((module) => module !== undefined)).keys()]
  throw new FedloraError(
    'E_UNSUPPORTED',
    `'${folder}' adapts nothing of the text part of ${textOf}, which is all that is loaded here, only ${listed(parts)}; use it with PEFT`,
    { folder, parts },
  )
}

/** The modules that a config speaks of, as it spells them. */
export function spelled(modules: Modules, spell: Spelling): Modules {
  const { linears, head, embedding } = modules
  return { ...modules, linears: linears.map(spell), head: spell(head), embedding: spell(embedding) }
}

/** What a config means in a text model's own names; patterns become those of whole names. */
export function unspelled({ config, targets }: AdapterMeaning, { linears }: Modules, spell: Spelling): AdapterMeaning {
  if (spell === plain) return { config, targets }
  const own = new Map(linears.map((module) => [spell(module), module]))
  const layers = adapterLayers(config, targets).map((layer) => ({ ...layer, module: own.get(layer.module)! }))
  const modules = layers.map(({ module }) => module)
  return { config: { ...configOfLayers(config, layers), targetModules: modules }, targets: modules }
}

/**
 * Names of tensors in a text model's own spelling. Null: of another part of the whole, which no text model has; names that are of no part stay
 * as they are, to be refused.
 */
export function ownNames(
  tensors: readonly string[],
  { linears }: Modules,
  spell: Spelling,
): Map<string, string | null> {
  const own = new Map(linears.map((module) => [spell(module), module]))
  const before = textPrefixes.find((prefix) => spell('model.x').startsWith(prefix))
  return new Map(
    tensors.map((tensor) => {
      const { module = tensor, part = '' } = moduleOf(tensor) ?? {}
      const known = own.get(module)
      if (known !== undefined) return [tensor, `base_model.model.${known}${part}`]
      return [tensor, before === undefined || module.startsWith(before) ? tensor : null]
    }),
  )
}
