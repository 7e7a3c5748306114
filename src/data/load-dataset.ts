/** Reading rows of a known format into a data set. */
import { FedloraError } from '../errors.js'
import { closest, parseOptions } from '../options/parse.js'
import { Dataset } from './dataset.js'
import { type DatasetOptions, defaultMaxLength, loadOptionsSchema, type RowsConfig } from './dataset-options.js'
import { type Format, type FormatName, formats } from './formats/formats.js'
import { readDataset } from './reading/read-dataset.js'
import type { DataSource } from './reading/read-rows.js'
import { Rows } from './rows/rows.js'
import { resolveTokenizer } from './tokenizer/resolve.js'
import { defaultCacheFolder } from './tokens/token-cache.js'

function checkFields(format: FormatName, fields: Readonly<Record<string, string>>): void {
  const known = formats[format].fields
  for (const name of Object.keys(fields)) {
    if (known.includes(name)) continue
    const meant = closest(name, known)
    const cure = meant === undefined ? `known: ${known.join(', ')}` : `did you mean "${meant}"?`
    const message = `data options: fields: the format ${format} has no field "${name}" (${cure})`
    throw new FedloraError('E_CONFIG', message, { field: `fields.${name}` })
  }
}

/** Refuses options about conversations for a format that has none. */
function checkChatOptions({ format, trainOn, chatTemplateKwargs }: RowsConfig): void {
  if ((formats[format] as Format).conversational) return
  const field =
    trainOn === 'last' ? 'trainOn' : Object.keys(chatTemplateKwargs).length > 0 ? 'chatTemplateKwargs' : null
  if (field === null) return
  const message = `data options: ${field}: the format ${format} has no conversations; those that have: messages, prompt-completion`
  throw new FedloraError('E_CONFIG', message, { field })
}

/**
 * Reads rows of a known format. Large sets cost little memory: rows and ids lie in files, and are read when they are used.
 *
 * @param source a file (.jsonl, .ndjson, .json, .csv, .tsv, .txt, also with .gz or .zst behind), a folder of such, a pattern such as
 *   `data/*.jsonl`, a list of these, or an iterable of row objects, async or not
 * @param options see `DatasetOptions`; `signal` ends the reading, `onProgress` hears how far it is
 * @throws E_CONFIG for wrong options; E_ARGUMENT for a kind of file that is not read; E_MISSING, E_IO when a file cannot be read; E_DATA for
 *   a bad row (file, line or row, field, expected, found) or when no row is left; E_TOKENIZER when the tokenizer cannot be loaded; the
 *   signal's reason when aborted
 */
export async function loadDataset(source: DataSource, options: DatasetOptions): Promise<Dataset> {
  const parsed = parseOptions(loadOptionsSchema, options, 'data options')
  const { tokenizer: tokenizerLike, signal, onProgress, maxLength, ...rest } = parsed
  const config = { ...rest, maxLength: maxLength ?? defaultMaxLength }
  checkFields(config.format, config.fields)
  checkChatOptions(config)
  const tokenizer = tokenizerLike === undefined ? undefined : await resolveTokenizer(tokenizerLike)
  const cacheFolder = config.cache ? (config.cacheDir ?? defaultCacheFolder()) : undefined
  const folders = cacheFolder === undefined ? [] : [cacheFolder]
  const { read, ...origin } = await readDataset(source, config, { signal, onProgress, folders })
  const rows = new Rows(read, config, cacheFolder)
  const indices = Int32Array.from({ length: rows.length }, (_, i) => i)
  const dataset = new Dataset(rows, indices, { ...origin, dropped: 0, ownLength: maxLength !== undefined }, tokenizer)
  const usable = tokenizer !== undefined || !formats[config.format].needsTokenizer
  if (config.overlong !== 'drop' || !usable) return dataset
  return (await dataset.prepare({ signal, onProgress })).withoutOverlong()
}
