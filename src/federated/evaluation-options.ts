/** What a federation is judged by: rows of nobody for the global adapter, every client's own for whichever adapter is asked for. */
import { z } from 'zod'
import { Dataset } from '../data/dataset.js'

/** Beside the rows and when: whose adapters are measured on the clients' own rows, and how. */
export const evaluationShape = {
  of: z
    .enum(['global', 'personal', 'both'])
    .optional()
    .describe("measures every client on its own test rows: by the global adapter, by the client's own, or by both"),
  fineTune: z
    .strictObject({
      steps: z.int().min(1).describe('optimiser steps'),
      learningRate: z
        .number()
        .positive()
        .optional()
        .describe("rate of these steps; default: the peak of the client's local work"),
    })
    .optional()
    .describe('each client takes these steps on its rows before its own adapter is measured; nothing of them is kept'),
}

/** What a federation is judged by, and when. */
export const evaluationSchema = z
  .strictObject({
    data: z.instanceof(Dataset).optional().describe('rows of nobody: the global adapter is measured on them'),
    every: z.int().min(0).default(0).describe('rounds between evaluations; 0: only after the last'),
    ...evaluationShape,
  })
  .refine(({ data, of }) => data !== undefined || of !== undefined, 'expected data, of, or both')
  .refine(
    ({ of, fineTune }) => fineTune === undefined || of === 'personal' || of === 'both',
    "fineTune is of the clients' own adapters: expected of: 'personal' or 'both' beside it",
  )

export type EvaluationOptions = z.input<typeof evaluationSchema>
export type EvaluationConfig = z.output<typeof evaluationSchema>
