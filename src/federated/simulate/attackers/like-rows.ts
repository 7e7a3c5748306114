import { type Dataset, loadDataset } from '../../../data/index.js'

/** Rows of ids in the place of a data set's, none longer than its rows may be. */
export async function likeRows(own: Dataset, rows: { input_ids: Int32Array; labels: Int32Array }[]): Promise<Dataset> {
  return await loadDataset(rows, { format: 'tokens', maxLength: own.maxLength })
}
