/**
 * A round of the real server and record over clients whose trainings are made up: each moves what it trains by draws of its own. What the server
 * makes of it stands beside `combineFactors` on the same adapters.
 */
import type { ClientKit, Trained, TrainPlan, Vectors } from '../../../src/federated/algorithms/algorithm.js'
import { travelOf, workOf } from '../../../src/federated/algorithms/defaults.js'
import { factorsIn } from '../../../src/federated/algorithms/factors.js'
import { type AlgorithmInput, chooseAlgorithm } from '../../../src/federated/algorithms/index.js'
import { residualFactors } from '../../../src/federated/algorithms/residual.js'
import { openTask } from '../../../src/federated/client/personal.js'
import { downloadSchema } from '../../../src/federated/download-options.js'
import { messageVersion } from '../../../src/federated/protocol/messages.js'
import { lengthOf, type Space, spaceOf, whole } from '../../../src/federated/protocol/space.js'
import { AdapterFile } from '../../../src/federated/server/adapter-file.js'
import type { ServerConfig } from '../../../src/federated/server/config.js'
import { Server } from '../../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../../src/federated/server-step/step.js'
import { ErrorMeter } from '../../../src/federated/simulate/error-meter.js'
import { encodeVector } from '../../../src/federated/vector-message.js'
import { Random } from '../../../src/random/random.js'
import { plainProduct } from '../../support/lora-golden.js'

const sides = [
  ['q', 9, 7],
  ['down', 6, 12],
] as const

/** Two layers, at one rank. */
export function spaceAt(rank: number, scaling = 2): Space {
  let offset = 0
  const layout = sides.flatMap(([module, out, inputs]) =>
    (['A', 'B'] as const).map((letter) => {
      const shape = letter === 'A' ? ([rank, inputs] as const) : ([out, rank] as const)
      const length = shape[0] * shape[1]
      offset += length
      const name = `base_model.model.layers.0.${module}.lora_${letter}.weight`
      return { name, part: `lora_${letter}` as const, shape, offset: offset - length, length }
    }),
  )
  return spaceOf(
    layout,
    sides.map(([module]) => ({ module: `layers.0.${module}`, rank, scaling })),
  )
}

/** Uniform draws in ±1/3, the same for the same salt. */
export function noise(length: number, salt: number): Float32Array {
  const draw = new Random(salt, 1)
  return Float32Array.from({ length }, () => (2 * draw.uniform() - 1) / 3)
}

export interface FakeClient {
  name: string
  rows: number
  space: Space
  /** Clients of one salt train alike. */
  salt: number
}

export interface RoundDone {
  aggregationError: number | null
  measurements: Record<string, number>
  /** Each client's adapter before and after its work, as it knows it. */
  before: Float32Array[]
  after: Float32Array[]
  /** Bytes of float32 that each client got and sent. */
  down: number[]
  up: number[]
  residuals: TrainPlan['residual'][]
  /** Where one was trained. */
  cores: Float32Array[]
}

export interface FakeFederation {
  server: Server
  round(clients?: readonly FakeClient[]): Promise<RoundDone>
  spaceOf(client: FakeClient): Space
}

const bytes = (vectors: Readonly<Vectors>) =>
  Object.values(vectors).reduce((sum, { byteLength }) => sum + byteLength, 0)

/** (R·A, B) by plain loops. */
function withCore(factors: Float32Array, core: Float32Array, space: Space): Float32Array {
  const adapter = factors.slice()
  for (const [index, module] of space.modules.entries()) {
    const { rank, in: inputs, A } = module
    const R = core.subarray(index * rank * rank, (index + 1) * rank * rank)
    adapter.set(plainProduct(R, factorsIn(factors, module).A, [rank, rank, inputs]), A.offset)
  }
  return adapter
}

/** Opens a federation; the first adapter has lora_B zero unless `begun`. */
export async function open(
  t: { teardown(close: () => void): void },
  input: AlgorithmInput,
  space: Space,
  clients: readonly FakeClient[],
  { begun = false, ...config }: Partial<ServerConfig> & { begun?: boolean } = {},
): Promise<FakeFederation> {
  const chosen = chooseAlgorithm(input)
  const initial = noise(space.length, 0)
  if (!begun) for (const { B } of space.modules) initial.fill(0, B.offset, B.offset + B.length)
  const adapters = await AdapterFile.create()
  const server = new Server({
    chosen,
    config: {
      rounds: 9,
      seed: 3,
      serverOptimizer: serverOptimizerSchema.parse({}),
      download: downloadSchema.parse({}),
      ...config,
    },
    space,
    initial,
    population: clients.length,
    adapters,
  })
  const meter = new ErrorMeter(adapters)
  t.teardown(() => {
    server.dispose()
    adapters.dispose()
  })
  const spaces = new Map<string, Space>()
  const spaceNow = (client: FakeClient): Space => {
    const rank = server.rankOf(client.name) ?? client.space.modules[0]!.rank
    if (rank === client.space.modules[0]!.rank) return client.space
    const key = `${rank} ${client.space.modules[0]!.scaling}`
    if (!spaces.has(key)) spaces.set(key, spaceAt(rank, client.space.modules[0]!.scaling))
    return spaces.get(key)!
  }
  return {
    server,
    spaceOf: spaceNow,
    async round(asked = clients) {
      const round = server.round + 1
      await server.begin()
      meter.begin(server)
      const done = { before: [], after: [], down: [], up: [], residuals: [], cores: [] } as Omit<
        RoundDone,
        'aggregationError' | 'measurements'
      >
      for (const client of asked) {
        const own = spaceNow(client)
        const task = server.task(client.name, own, round, 0.1)
        const opened = await openTask(task, { chosen, space: own, initial: server.initialFor(own), own: undefined })
        const train = async ({ from, trainable = whole(own), residual, core }: TrainPlan): Promise<Trained> => {
          const values = from.slice()
          const counts = { loss: 1, steps: 1, updates: 1, tokens: client.rows }
          if (core !== undefined) {
            const after = core.map((value, i) => value + noise(core.length, 10 * round + client.salt)[i]! / 2)
            done.cores.push(after)
            return { ...counts, values: withCore(values, after, own), core: after }
          }
          const move = noise(own.length, 10 * round + client.salt)
          for (const [begin, end] of trainable) for (let i = begin; i < end; i++) values[i]! += move[i]! / 2
          done.residuals.push(residual)
          return { ...counts, values }
        }
        const kit: ClientKit = {
          ...opened,
          ...{ round, rounds: 9, seed: 3, learningRate: 0.1, steps: 1, rows: client.rows },
          local: { optimizer: 'sgd', momentum: 0 },
          travels: travelOf(chosen, { space: own, round }),
          train,
          gradient: async (at) => at,
          rowLosses: async () => {
            throw new Error('made-up trainings have no rows')
          },
          zeroth: async () => {
            throw new Error('made-up trainings go along their plans alone')
          },
        }
        const { trained, vectors } = await workOf(chosen, kit)
        done.before.push(kit.given.adapter!)
        done.after.push(trained.values)
        done.down.push(server.broadcast(own, round).raw)
        done.up.push(bytes(vectors))
        const encoded = Object.fromEntries(
          Object.entries(vectors).map(([name, update]) => [name, encodeVector(update)]),
        )
        const { name, rows } = client
        const counts = { rows, steps: 1, tokens: rows, loss: 1 }
        const answer = {
          version: messageVersion,
          round,
          client: name,
          ...counts,
          vectors: encoded,
          numbers: {},
        } as const
        await server.accept(answer, own, trained.values)
      }
      const { answers, measurements } = await server.finish(round, 0.1)
      return { ...done, aggregationError: await meter.measure(server, answers), measurements }
    },
  }
}

/** ΔW of a layer by plain loops: scaling·B·A, and the residual's B·A. */
export function deltaOf(
  values: Float32Array,
  space: Space,
  index: number,
  state?: Parameters<typeof residualFactors>[0],
): Float64Array {
  const module = space.modules[index]!
  const { A, B, rank, scaling } = factorsIn(values, module)
  const delta = plainProduct(B, A, [module.out, rank, module.in], scaling)
  const residual = state && residualFactors(state, space)[index]
  if (residual) {
    plainProduct(residual.B, residual.A, [module.out, residual.rank, module.in]).forEach((value, i) => {
      delta[i]! += value
    })
  }
  return delta
}

/** Elements in these ranges as bytes of float32. */
export const bytesIn = (ranges: Parameters<typeof lengthOf>[0]): number => 4 * lengthOf(ranges)
