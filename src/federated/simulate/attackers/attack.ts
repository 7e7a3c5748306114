/** What an attack is: what becomes of a client's rows, of what it is about to send, or of its messages. A file each. */
import type { Dataset } from '../../../data/index.js'
import type { Model } from '../../../model/model.js'
import type { AttackOptions } from '../../attacker-options.js'
import type { Sending } from '../../client/work.js'

/** Of a client whose rows are changed. */
export interface Poisoning {
  readonly client: string
  /** Of the federation. */
  readonly seed: number
  readonly model: Model
}

export interface Attack<Options = AttackOptions> {
  /** Where it comes from: authors, year, title. */
  readonly source: string
  /** Rows to learn in the place of the client's own. @throws FedloraError `E_CONFIG` where there is nothing to change. */
  rows?(own: Dataset, options: Options, about: Poisoning): Promise<Dataset>
  /** A vector to send in the place of an update; the update is not changed. `name`: of the vector. */
  sends?(
    update: Float32Array,
    options: Options,
    about: Sending & { name: string },
  ): Float32Array | Promise<Float32Array>
  /** A message in the place of an encoded update. */
  forges?(message: Uint8Array): Uint8Array
}
