/**
 * A differentially private step beside a plain one over the same rows and a base of random weights, in turn, so that a drifting machine
 * slows both alike. What the ratio holds beyond 1: a gradient for every row instead of one for all, their norms, and the noise.
 */
import { native } from '../../native/load.js'
import { makeClient, seconds } from './adapters.js'
import { type Measurement, median } from './measure.js'
import { shapeConfig } from './shapes.js'
import { makeBatch, type StepBench } from './step.js'

/** `options.batch` rows of `options.tokens` tokens; every step draws all of them. */
export async function benchPrivate(options: StepBench): Promise<Measurement> {
  const { shape, tokens, batch: rows, rank, quantization, compute, threads } = options
  const { description } = shapeConfig(shape)
  const load = { files: [], description, doubleQuantization: false, blockSize: 64 as const }
  const model = await native().randomModel({ ...load, quantization, compute, threads }, 1)
  try {
    const batches = [makeBatch(options, description.vocabulary)]
    const plain = makeClient(model, options, 1)
    const secret = makeClient(model, options, 2)
    const privacy = { clip: 1, noiseMultiplier: 1, expectedExamples: rows }
    const times: Record<'plain' | 'private', number>[] = []
    for (let step = 0; step <= options.steps; step++) {
      const key = new Uint8Array(32).fill(step)
      const measured = {
        plain: await seconds(() => plain.session.step(batches, 1e-4)),
        private: await seconds(() => secret.session.step(batches, 1e-4, { ...privacy, key })),
      }
      if (step > 0) times.push(measured)
    }
    return {
      shape,
      rows,
      tokensEach: tokens,
      rank,
      plainSeconds: Number(median(times.map((time) => time.plain)).toFixed(3)),
      privateSeconds: Number(median(times.map((time) => time.private)).toFixed(3)),
      ratio: Number(median(times.map((time) => time.private / time.plain)).toFixed(3)),
      gradientsMiB: Math.round((4 * rows * plain.adapter.length) / 2 ** 20),
    }
  } finally {
    model.dispose()
  }
}
