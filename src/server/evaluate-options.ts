/** What a server is told of measuring the global adapter: rows of nobody, when, and where the model that does it runs. */
import { z } from 'zod'
import { datasetOptionsSchema } from '../data/dataset-options.js'
import { FedloraError } from '../errors.js'
import type { CoordinatorConfig } from '../federated/coordinator/options.js'
import { modelOptionsSchema } from '../model/model-options.js'

const rowsSchema = datasetOptionsSchema.omit({ tokenizer: true })

export const evaluateSchema = z.strictObject({
  path: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .describe('rows of nobody: a file, a folder or a pattern, or a list of them'),
  every: z.int().min(0).default(0).describe('rounds between evaluations; 0: only after the last'),
  device: modelOptionsSchema.shape.device,
  threads: modelOptionsSchema.shape.threads,
  ...rowsSchema.extend({ format: rowsSchema.shape.format.optional().describe('how a row is read; default: as `data`') })
    .shape,
})

/** What is measured, with the rows' options that `evaluate` leaves out taken from `data`. */
export interface EvaluateConfig extends Pick<z.output<typeof evaluateSchema>, 'path' | 'every'> {
  rows: z.output<typeof rowsSchema>
  place: Pick<z.output<typeof evaluateSchema>, 'device' | 'threads'>
}

/**
 * @param written - as it was given; undefined: nothing is measured.
 * @throws FedloraError `E_CONFIG` for what a server cannot measure.
 */
export function parseEvaluate(written: unknown, { data }: CoordinatorConfig): EvaluateConfig | undefined {
  if (written === undefined) return undefined
  const { path, every, device, threads, ...rows } = evaluateSchema.parse(written)
  const own = Object.entries(rows).filter(([key]) => Object.hasOwn(written as object, key))
  return {
    path,
    every,
    place: { device, threads },
    rows: rowsSchema.parse({ ...data, limit: undefined, ...Object.fromEntries(own) }),
  }
}

/** @throws FedloraError `E_CONFIG` for what only a simulation has: clients' own rows. */
export function checkMeasurable(written: unknown): void {
  if (typeof written !== 'object' || written === null) return
  const field = ['of', 'fineTune'].find((key) => Object.hasOwn(written, key))
  if (field === undefined) return
  const message = `evaluate.${field}: only a simulation has it: a server has no rows of its clients; leave it out`
  throw new FedloraError('E_CONFIG', message, { field: `evaluate.${field}` })
}
