/**
 * Any algorithm over four clients whose losses are quadratics, f(x) = ½·xᵀHx − gᵀx, with partial cohorts over five rounds: the real record
 * and the real server, and in place of a model's training plain SGD in double. `golden/federated/clients.safetensors` has the answers.
 *
 * The adapter of six values is one layer of rank 1: x[0:4] is its lora_A [1, 4], x[4:6] its lora_B [2, 1].
 */
import type {
  ClientKit,
  Numbers,
  ServerState,
  Trained,
  TrainPlan,
  Vectors,
} from '../../../src/federated/algorithms/algorithm.js'
import { placeReceived, travelOf, workOf } from '../../../src/federated/algorithms/defaults.js'
import { type AlgorithmInput, chooseAlgorithm } from '../../../src/federated/algorithms/index.js'
import { downloadSchema } from '../../../src/federated/download-options.js'
import { messageVersion } from '../../../src/federated/protocol/messages.js'
import { spaceOf } from '../../../src/federated/protocol/space.js'
import type { ServerConfig } from '../../../src/federated/server/config.js'
import { Server } from '../../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../../src/federated/server-step/step.js'
import { decodeVector, encodeVector } from '../../../src/federated/vector-message.js'
import { GoldenFile } from '../../support/safetensors.js'

export const golden = new GoldenFile(new URL('../../golden/federated/clients.safetensors', import.meta.url).pathname)

/** lr, mu, alpha, lambda, rho and pFedMe's, as the golden rounds had them. */
export const parameters = JSON.parse(golden.metadata.parameters!) as Record<string, number>

const size = 6
const values = (name: string) => [...golden.get(name).values]
const [H, g, rows, steps, cohorts] = ['H', 'g', 'rows', 'steps', 'cohort'].map(values) as [
  number[],
  number[],
  number[],
  number[],
  number[],
]
const x0 = Float32Array.from(values('x0'))
const rounds = cohorts.length / 4

export const names = ['client-0', 'client-1', 'client-2', 'client-3'] as const

const layout = [
  { name: 'base_model.model.m.lora_A.weight', part: 'lora_A', shape: [1, 4], offset: 0, length: 4 } as const,
  { name: 'base_model.model.m.lora_B.weight', part: 'lora_B', shape: [2, 1], offset: 4, length: 2 } as const,
]
export const space = spaceOf(layout, [{ module: 'm', rank: 1, scaling: 1 }])

type Term = TrainPlan['proximal']

/** ∇f + μ·(y − anchor) + correction. */
function slope(client: number, y: Float64Array, proximal?: Term, correction?: Float32Array): Float64Array {
  return y.map((value, i) => {
    let sum = -g[client * size + i]!
    for (let j = 0; j < size; j++) sum += H[(client * size + i) * size + j]! * y[j]!
    return sum + (proximal ? proximal.mu * (value - proximal.anchor[i]!) : 0) + (correction?.[i] ?? 0)
  })
}

/** Where the slope is zero: Newton's step on a quadratic, by Gauss's elimination. */
function minimum(client: number, { proximal, correction }: TrainPlan): Float64Array {
  const b = slope(client, new Float64Array(size), proximal, correction).map((value) => -value)
  const A = Array.from({ length: size }, (_, i) => H.slice((client * size + i) * size, (client * size + i + 1) * size))
  for (let i = 0; i < size; i++) A[i]![i]! += proximal?.mu ?? 0
  for (let k = 0; k < size; k++) {
    for (let i = 0; i < size; i++) {
      if (i === k) continue
      const factor = A[i]![k]! / A[k]![k]!
      for (let j = k; j < size; j++) A[i]![j]! -= factor * A[k]![j]!
      b[i]! -= factor * b[k]!
    }
  }
  return b.map((value, i) => value / A[i]![i]!)
}

export interface Setting {
  /** SGD's momentum; default 0. */
  momentum?: number
  /** Answers arrive in the opposite order of names. */
  turned?: boolean
  /** How many of the four there are; default all. */
  clients?: number
  /** Steps of each client; default the golden file's. */
  steps?: readonly number[]
  /** A training ends at its minimum instead of after its steps. */
  exact?: boolean
  /** Which client's loss each client has; default its own. */
  losses?: readonly number[]
  /** Rows of each client; default the golden file's. */
  rows?: readonly number[]
  /** Whether everybody takes part in every round. */
  everybody?: boolean
  /** Options of the server. */
  server?: Partial<ServerConfig>
}

/** SGD over a client's quadratic, as a plan asks for it. */
function train(client: number, plan: TrainPlan, setting: Setting): Trained {
  for (const name of ['weightOf', 'residual', 'core'] as const)
    if (plan[name]) throw new Error(`quadratics have no ${name}`)
  const count = plan.steps ?? (setting.steps ?? steps)[client]!
  const loss = setting.losses?.[client] ?? client
  const rate = plan.learningRate ?? parameters.lr!
  const trained = (i: number) => (plan.trainable ?? [[0, size]]).some(([begin, end]) => begin <= i && i < end)
  let { proximal } = plan
  let y: Float64Array = Float64Array.from(plan.from)
  const moment = new Float64Array(size)
  for (let step = 1; step <= count && !setting.exact; step++) {
    const gradient = slope(loss, y, proximal, plan.correction)
    for (let i = 0; i < size; i++) moment[i] = (setting.momentum ?? 0) * moment[i]! + gradient[i]!
    y = y.map((value, i) => (trained(i) ? value - rate * moment[i]! : value))
    proximal = plan.afterStep?.(step, () => Float32Array.from(y)) ?? proximal
  }
  if (setting.exact) y = minimum(loss, plan)
  const value = y.reduce((sum, v, i) => sum + (v * (slope(loss, y)[i]! - g[loss * size + i]!)) / 2, 0)
  return { values: Float32Array.from(y), loss: value, steps: count, updates: count, tokens: count }
}

/** What was there after each round. */
export interface Ran {
  /** The server's adapter. */
  x: Float32Array[]
  state: ServerState[]
  /** What clients kept, by their names. */
  own: Record<string, Partial<Vectors>>[]
  /** What the federation had come to. */
  result: Float32Array[]
}

/** Runs five rounds. */
export async function runQuadratics(input: AlgorithmInput, setting: Setting = {}): Promise<Ran> {
  const chosen = chooseAlgorithm(input)
  const config: ServerConfig = {
    rounds,
    seed: 1,
    serverOptimizer: serverOptimizerSchema.parse({}),
    download: downloadSchema.parse({}),
    ...setting.server,
  }
  const members = names.slice(0, setting.clients)
  const server = new Server({ chosen, config, space, initial: x0, population: members.length })
  const own: Record<string, Partial<Vectors>> = Object.fromEntries(names.map((name) => [name, {}]))
  const ran: Ran = { x: [], state: [], own: [], result: [] }
  for (let round = 1; round <= rounds; round++) {
    await server.begin()
    const working = [...members.entries()]
    for (const [client, name] of setting.turned ? working.toReversed() : working) {
      if (!setting.everybody && cohorts[(round - 1) * names.length + client] === 0) continue
      const task = server.task(name, space, round, parameters.lr!)
      const given: Vectors = {}
      for (const [vector, message] of Object.entries(task.vectors)) given[vector] = decodeVector(message)
      given.adapter = placeReceived(chosen, { space, round }, x0, given.adapter!)
      const kit: ClientKit = {
        client: name,
        round,
        rounds,
        seed: config.seed,
        space,
        learningRate: parameters.lr!,
        local: { optimizer: 'sgd', momentum: setting.momentum ?? 0 },
        steps: (setting.steps ?? steps)[client]!,
        rows: (setting.rows ?? rows)[client]!,
        initial: x0,
        given,
        numbers: task.numbers,
        own: own[name]!,
        travels: travelOf(chosen, { space, round }),
        train: async (plan) => train(client, plan, setting),
        gradient: async (at) => Float32Array.from(slope(setting.losses?.[client] ?? client, Float64Array.from(at))),
        rowLosses: async () => {
          throw new Error('quadratics have no rows')
        },
        zeroth: async () => {
          throw new Error('quadratics are trained along their gradients')
        },
      }
      const { trained, vectors, numbers = {}, keep } = await workOf(chosen, kit)
      const unnamed = Object.keys(keep ?? {}).find((vector) => !chosen.algorithm.keeps?.includes(vector))
      if (unnamed !== undefined) throw new Error(`${chosen.algorithm.name} keeps '${unnamed}' and does not say so`)
      const { loss, steps: done, tokens } = trained
      const encoded = Object.fromEntries(
        Object.entries(vectors).map(([vector, update]) => [vector, encodeVector(update)]),
      )
      const answer = {
        version: messageVersion,
        round,
        client: name,
        rows: kit.rows,
        steps: done,
        tokens,
        loss,
      } as const
      await server.accept({ ...answer, vectors: encoded, numbers: copies(numbers) }, space)
      own[name] = { ...own[name], ...keep }
    }
    await server.finish(round, parameters.lr!)
    ran.x.push(server.adapter.slice())
    ran.result.push(server.result.slice())
    ran.state.push(structuredClone({ vectors: server.state.vectors, numbers: server.state.numbers }))
    ran.own.push(structuredClone(own))
  }
  server.dispose()
  return ran
}

const copies = (numbers: Numbers) =>
  Object.fromEntries(Object.entries(numbers).map(([name, list]) => [name, [...list]]))

/** What every client kept under `name`, one after the other, round by round: [rounds, 4, values]; zeros before a client has kept any. */
export function kept({ own }: Ran, name: string, length = size): Float32Array[] {
  return own.map((round) => {
    const all = new Float32Array(names.length * length)
    for (const [client, key] of names.entries()) all.set(round[key]![name] ?? [], client * length)
    return all
  })
}

/** The server's vector of this name, round by round. */
export const serverVector = ({ state }: Ran, name: string): Float32Array[] => state.map(({ vectors }) => vectors[name]!)

/** Greatest distance from a golden array over all rounds; rounds that differ in length are infinitely far. */
export function distance(found: readonly Float32Array[], name: string): number {
  const all = found.flatMap((round) => [...round])
  const expected = golden.get(name).values
  if (all.length !== expected.length) return Number.POSITIVE_INFINITY
  return Math.max(...all.map((value, i) => Math.abs(value - expected[i]!)))
}

/** Of float32 results, as the golden README has it: 2.3e-7 is the most that was measured there. */
export const tolerance = 1e-6
