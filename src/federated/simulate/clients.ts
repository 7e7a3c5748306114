/**
 * The clients of a federation, whatever form they were given in: name, rows, and data that are opened when the client works. They are known
 * by name and stand in the order of their names, whatever the order they were given in.
 */
import { createHash } from 'node:crypto'
import { fitToModel } from '../../data/fit.js'
import { Dataset, loadDataset, type PrepareOptions, Split } from '../../data/index.js'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import type { Model } from '../../model/model.js'
import type { LocalOverrides } from '../options.js'

/** A client by hand. */
export interface ClientData {
  /** Its own, unlike any other's: all its draws are made from it. */
  name: string
  train: Dataset
  /** Rows that it keeps for its own evaluation. */
  test?: Dataset
  /** Rank of its adapter, at most the server's; default: the server's. Its scale stays the server's unless `alpha` says otherwise. */
  rank?: number
  /** Numerator of its scale. */
  alpha?: number
  /** Its own options of local work. */
  local?: LocalOverrides
}

/** A split of a data set, or a list of data sets, with names or without. */
export type ClientsInput = Split | readonly (Dataset | ClientData)[]

/** Indices follow the names in ascending order. */
export interface Clients {
  readonly length: number
  name(index: number): string
  /** Where it stood in the list that was given. */
  place(index: number): number
  /** The rows that a client trains on, tokenised when used. */
  data(index: number): Dataset
  /** The rows that it keeps for its evaluation; undefined when there are none. */
  test(index: number): Dataset | undefined
  /** What was given of its own. */
  own(index: number): Pick<ClientData, 'rank' | 'alpha' | 'local'>
}

/** In ascending order. */
export const namesOf = (clients: Pick<Clients, 'length' | 'name'>): string[] =>
  Array.from({ length: clients.length }, (_, index) => clients.name(index))

interface Member extends Pick<ClientData, 'name' | 'rank' | 'alpha' | 'local'> {
  train(): Dataset
  test(): Dataset | undefined
}

function inOrder(members: readonly Member[]): Clients {
  const order = members.map((_, place) => place)
  const nameOf = (place: number) => members[place]!.name
  order.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : a - b))
  for (const [place, { name }] of members.entries()) {
    if (!/\p{Surrogate}/u.test(name)) continue
    const message = `clients[${place}]: the name ${JSON.stringify(name)} holds half a character, expected well-formed text`
    throw new FedloraError('E_ARGUMENT', message, { name })
  }
  for (let i = 1; i < order.length; i++) {
    const [before, place] = [order[i - 1]!, order[i]!]
    if (nameOf(before) !== nameOf(place)) continue
    const message = `clients[${place}]: the name '${nameOf(place)}' is that of clients[${before}], expected a name of its own`
    throw new FedloraError('E_ARGUMENT', message, { name: nameOf(place) })
  }
  const at = (index: number) => members[order[index]!]!
  return {
    length: members.length,
    name: (index) => at(index).name,
    place: (index) => order[index]!,
    data: (index) => at(index).train(),
    test: (index) => at(index).test(),
    own: (index) => at(index),
  }
}

const someRows = (data: Dataset | undefined) => (data === undefined || data.length === 0 ? undefined : data)

/**
 * @param model - gives the tokenizer to data sets without one.
 * @param prepare - who hears of the tokenising, and what ends it.
 * @throws FedloraError `E_ARGUMENT` when there is no client, one is no data set, or two have one name; `E_DATA` for a client without rows.
 */
export async function openClients(input: ClientsInput, model: Model, prepare: PrepareOptions = {}): Promise<Clients> {
  if (input instanceof Split) {
    const { tokenizer } = await fitToModel(input.dataset, model, prepare)
    const positions = model.config.maxPositions
    const ready = (data: Dataset) => (tokenizer === undefined ? data : data.tokenized(tokenizer)).fitted(positions)
    return inOrder(
      input.clients.map(({ name }, index) => ({
        name,
        train: () => usable(ready(input.train(index)), index, name),
        test: () => someRows(input.test(index)) && ready(input.test(index)),
      })),
    )
  }
  if (!Array.isArray(input) || input.length === 0) {
    throw new FedloraError(
      'E_ARGUMENT',
      `clients: got ${describeValue(input)}, expected a split or a list of data sets`,
    )
  }
  const members: Member[] = []
  for (const [index, given] of (input as readonly (Dataset | ClientData)[]).entries()) {
    const { train, test, ...rest } =
      given instanceof Dataset ? { name: `client-${index}`, train: given, test: undefined } : checkClient(given, index)
    const data = usable(await fitToModel(train, model, prepare), index, rest.name)
    const held = someRows(test) && (await fitToModel(test!, model, prepare))
    members.push({ ...rest, train: () => data, test: () => held })
  }
  return inOrder(members)
}

const known = ['name', 'train', 'test', 'rank', 'alpha', 'local']

function checkClient(given: ClientData, index: number): ClientData {
  const refuse = (message: string): never => {
    throw new FedloraError('E_ARGUMENT', `clients[${index}]${message}`, { client: index })
  }
  const { name, train, test, rank, alpha } = given ?? {}
  if (!(train instanceof Dataset) || typeof name !== 'string') {
    refuse(`: got ${describeValue(given)}, expected a data set or { name, train }`)
  }
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown !== undefined) refuse(`: unknown key "${unknown}", known are ${known.join(', ')}`)
  if (test !== undefined && !(test instanceof Dataset)) refuse(`.test: got ${describeValue(test)}, expected a data set`)
  if (rank !== undefined && !(Number.isInteger(rank) && rank >= 1)) {
    refuse(`.rank: got ${describeValue(rank)}, expected a whole number from 1`)
  }
  if (alpha !== undefined && !(Number.isFinite(alpha) && alpha > 0)) {
    refuse(`.alpha: got ${describeValue(alpha)}, expected a number above 0`)
  }
  return given
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

/** SHA-256 over names, rows and ranks: the same clients train equally. */
export function fingerprint(clients: Clients): string {
  const hash = createHash('sha256')
  for (let index = 0; index < clients.length; index++) {
    const { rank = null, alpha = null } = clients.own(index)
    hash.update(JSON.stringify([clients.name(index), clients.data(index).fingerprint, rank, alpha]))
  }
  return hash.digest('hex')
}

/** SHA-256 over the rows that clients keep for their tests. */
export function testFingerprint(clients: Clients): string {
  const hash = createHash('sha256')
  for (let index = 0; index < clients.length; index++) {
    hash.update(JSON.stringify(clients.test(index)?.fingerprint ?? null))
  }
  return hash.digest('hex')
}
