/**
 * Several adapters in one pass over a frozen base of random weights, against one adapter over the same tokens, and against the same
 * clients one after another. Interleaved, so that a drifting machine slows all alike; in the same run one client is trained alone as well
 * and must end in the same bits.
 */

import type { NativeAdapter, NativeModel, NativeSession } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { adamw } from '../../training/optimizer.js'
import { type Measurement, median } from './measure.js'
import { shapeConfig } from './shapes.js'
import { makeBatch, type StepBench } from './step.js'

export interface Client {
  adapter: NativeAdapter
  session: NativeSession
}

/** An adapter of its own on every linear layer, and its session. */
export function makeClient(model: NativeModel, options: StepBench, seed: number): Client {
  const layers = model.linears().map(({ module }) => ({ module, rank: options.rank, scaling: 2, dropout: 0 }))
  const adapter = model.createAdapter(layers, seed)
  const session = adapter.createSession({
    optimizer: adamw,
    maxGradNorm: 1,
    dropoutSeed: 0,
    recompute: options.recompute,
  })
  return { adapter, session }
}

export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

/** `options.batch` is the number of clients, each with one row of `options.tokens` tokens. */
export async function benchAdapters(options: StepBench): Promise<Measurement> {
  const { shape, tokens, batch: clients, quantization, compute, threads } = options
  const { description } = shapeConfig(shape)
  const load = { files: [], description, doubleQuantization: false, blockSize: 64 as const }
  const model = await native().randomModel({ ...load, quantization, compute, threads }, 1)
  try {
    const all = makeBatch(options, description.vocabulary)
    const own = Array.from({ length: clients }, (_, client) => ({
      ids: all.ids.slice(client * tokens, (client + 1) * tokens),
      labels: all.labels.slice(client * tokens, (client + 1) * tokens),
      lengths: Int32Array.of(tokens),
    }))
    const one = makeClient(model, options, 1)
    const many = own.map((_, client) => makeClient(model, options, 2 + client))
    const twin = makeClient(model, options, 2)
    const times: { one: number[]; many: number[]; alone: number[] } = { one: [], many: [], alone: [] }
    for (let step = 0; step <= options.steps; step++) {
      const steps = many.map(({ session }, client) => ({ session, batches: [own[client]!], learningRate: 1e-4 }))
      const measured = {
        one: await seconds(() => one.session.step([all], 1e-4)),
        many: await seconds(() => model.stepTogether(steps, all.ids.length)),
        alone: await seconds(() => twin.session.step([own[0]!], 1e-4)),
      }
      if (step === 0) continue
      for (const key of ['one', 'many', 'alone'] as const) times[key].push(measured[key])
    }
    const rate = (values: number[], count: number) => count / median(values)
    const rates = {
      one: rate(times.one, clients * tokens),
      many: rate(times.many, clients * tokens),
      alone: rate(times.alone, tokens),
    }
    const bits = (client: Client) => Buffer.from(client.adapter.read().buffer)
    return {
      shape,
      clients,
      tokensEach: tokens,
      oneAdapter: Math.round(rates.one),
      together: Math.round(rates.many),
      oneByOne: Math.round(rates.alone),
      ofOneAdapter: Number((rates.many / rates.one).toFixed(3)),
      speedUp: Number((rates.many / rates.alone).toFixed(2)),
      sameBits: bits(many[0]!).equals(bits(twin)) ? 'yes' : 'NO',
    }
  } finally {
    model.dispose()
  }
}
