/** A client's rows, read and rendered as the federation says: what never leaves. */
import { datasetOptionsSchema } from '../../data/dataset-options.js'
import { fitToModel, type RowTaker } from '../../data/fit.js'
import { type DataSource, Dataset, loadDataset } from '../../data/index.js'
import { FedloraError } from '../../errors.js'
import { parseOptions } from '../../options/parse.js'
import { preparing } from '../../training/progress.js'
import type { Description } from '../link/messages.js'
import type { WorkshopContext } from './workshop.js'

/** What a server may say of reading rows: nothing about places on this machine. */
const serverSchema = datasetOptionsSchema.omit({ tokenizer: true, cache: true, cacheDir: true })

/**
 * @param data - a data set of the federation's format, or where its rows are.
 * @throws FedloraError `E_CONFIG` for options that this release does not know or a data set of another format, `E_DATA`, `E_MISSING`, …; the
 * signal's reason.
 */
export async function openRows(
  data: Dataset | DataSource,
  description: Pick<Description, 'data'>,
  model: RowTaker,
  { signal, emit }: WorkshopContext,
): Promise<Dataset> {
  const options = parseOptions(serverSchema, description.data, "the server's data options")
  const prepare = preparing(signal, emit)
  const rows = data instanceof Dataset ? data : await loadDataset(data, { ...options, ...prepare })
  if (rows.format !== options.format) {
    const message = `data: got a data set of the format '${rows.format}', expected '${options.format}', which the federation trains on`
    throw new FedloraError('E_CONFIG', message, { format: rows.format, expected: options.format })
  }
  const fitted = await fitToModel(rows, model, prepare)
  if (fitted.length > 0) return fitted
  throw new FedloraError('E_DATA', 'data: no row is left to train on')
}
