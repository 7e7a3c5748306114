/** The clients of a federation, whatever form they were given in: name, rows, and data that are opened when the client works. */
import { createHash } from 'node:crypto'
import { fitToModel } from '../../data/fit.js'
import { Dataset, loadDataset, type PrepareOptions, Split } from '../../data/index.js'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import type { Model } from '../../model/model.js'

/** A client by hand. */
export interface ClientData {
  name: string
  train: Dataset
}

/** A split of a data set, or a list of data sets, with names or without. */
export type ClientsInput = Split | readonly (Dataset | ClientData)[]

export interface Clients {
  readonly length: number
  name(index: number): string
  /** The rows that a client trains on, tokenised when used. */
  data(index: number): Dataset
}

/**
 * @param model - gives the tokenizer to data sets without one.
 * @param prepare - who hears of the tokenising, and what ends it.
 * @throws FedloraError `E_ARGUMENT` when there is no client or one is no data set, `E_DATA` for a client without rows.
 */
export async function openClients(input: ClientsInput, model: Model, prepare: PrepareOptions = {}): Promise<Clients> {
  if (input instanceof Split) {
    const { tokenizer } = await fitToModel(input.dataset, model, prepare)
    const positions = model.config.maxPositions
    const ready = (data: Dataset) => (tokenizer === undefined ? data : data.tokenized(tokenizer)).fitted(positions)
    return {
      length: input.length,
      name: (index) => input.clients[index]!.name,
      data: (index) => usable(ready(input.train(index)), index, input.clients[index]!.name),
    }
  }
  if (!Array.isArray(input) || input.length === 0) {
    throw new FedloraError(
      'E_ARGUMENT',
      `clients: got ${describeValue(input)}, expected a split or a list of data sets`,
    )
  }
  const list: ClientData[] = []
  for (const [index, given] of (input as readonly (Dataset | ClientData)[]).entries()) {
    const { name, train } = given instanceof Dataset ? { name: `client-${index}`, train: given } : (given ?? {})
    if (!(train instanceof Dataset) || typeof name !== 'string') {
      throw new FedloraError(
        'E_ARGUMENT',
        `clients[${index}]: got ${describeValue(given)}, expected a data set or { name, train }`,
      )
    }
    list.push({ name, train: usable(await fitToModel(train, model, prepare), index, name) })
  }
  return { length: list.length, name: (index) => list[index]!.name, data: (index) => list[index]!.train }
}

function usable(data: Dataset, client: number, name: string): Dataset {
  if (data.length > 0) return data
  throw new FedloraError('E_DATA', `client ${client} (${name}) has no row to train on`, { client })
}

/** All clients' rows in one place, client after client. */
export async function pooledRows(clients: Clients): Promise<Dataset> {
  let maxLength = 2
  for (let index = 0; index < clients.length; index++) maxLength = Math.max(maxLength, clients.data(index).maxLength)
  async function* rows(): AsyncGenerator<{ input_ids: Int32Array; labels: Int32Array }> {
    for (let index = 0; index < clients.length; index++) {
      for await (const { inputIds, labels } of clients.data(index)) yield { input_ids: inputIds, labels }
    }
  }
  return await loadDataset(rows(), { format: 'tokens', maxLength })
}

/** SHA-256 over names and rows: the same clients train equally. */
export function fingerprint(clients: Clients): string {
  const hash = createHash('sha256')
  for (let index = 0; index < clients.length; index++) {
    hash.update(JSON.stringify([clients.name(index), clients.data(index).fingerprint]))
  }
  return hash.digest('hex')
}
