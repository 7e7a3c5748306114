/** A data set made ready for a model: with a tokenizer, tokenised, no row longer than the model's positions, no id that it does not have. */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { Dataset } from './dataset.js'
import { Slices } from './progress.js'
import type { Tokenizer } from './tokenizer/tokenizer.js'
import type { PrepareOptions } from './tokens/prepare.js'

/** What rows need to know of the model that takes them. */
export interface RowTaker {
  readonly config: { readonly maxPositions: number; readonly vocabulary: number }
  /** The tokenizer for data sets that have none. */
  tokenizer(): Promise<Tokenizer>
}

/** Data sets of ids that were found to be a model's, by its vocabulary. */
const checked = new WeakMap<Dataset, number>()

/**
 * Refuses ids that the model does not have, in slices; only rows of ids can hold such.
 * @throws FedloraError `E_ARGUMENT` with file and line.
 */
async function checkIds(data: Dataset, vocabulary: number, { signal }: PrepareOptions): Promise<void> {
  if (data.format !== 'tokens' || checked.get(data) === vocabulary) return
  const slices = new Slices('checking', signal, undefined)
  for (let index = 0; index < data.length; index++) {
    const wrong = data.sample(index).inputIds.find((id) => id < 0 || id >= vocabulary)
    if (wrong !== undefined) {
      const { file, unit, number } = data.place(index)
      throw new FedloraError(
        'E_ARGUMENT',
        `${file}, ${unit} ${number}: token id ${wrong}, but the model's vocabulary has ${vocabulary} (0 to ${vocabulary - 1}); were the rows made by another tokenizer?`,
        { file, [unit]: number, id: wrong, vocabulary },
      )
    }
    if (slices.due) await slices.breathe()
  }
  checked.set(data, vocabulary)
}

/**
 * The data set as a model takes it: with a tokenizer, its own or the model's, all its rows tokenised, none longer than the model's positions.
 * @throws FedloraError `E_CONFIG` for a `maxLength` beyond the positions, before anything is tokenised; `E_ARGUMENT` for what is no data
 * set and for ids beyond the vocabulary; as `Dataset.prepare`.
 */
export async function fitToModel(data: Dataset, model: RowTaker, options: PrepareOptions = {}): Promise<Dataset> {
  if (!(data instanceof Dataset)) {
    throw new FedloraError(
      'E_ARGUMENT',
      `data: got ${describeValue(data)}, expected a data set; loadDataset makes one from rows`,
    )
  }
  const needed = data.tokenizer === undefined && data.format !== 'tokens'
  const { maxPositions, vocabulary } = model.config
  data.checkLength(maxPositions)
  const ready = await data.ready(needed ? await model.tokenizer() : undefined, options)
  const fitted = ready.fitted(maxPositions)
  await checkIds(fitted, vocabulary, options)
  return fitted
}
