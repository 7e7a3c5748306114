/** What a server needs to know of its base, from the folder alone: no weight is loaded, and every byte of them is hashed once. */
import { basename, join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { canonicalJson } from '../../files/canonical-json.js'
import { firstDifference } from '../../files/difference.js'
import { findModel } from '../../files/model-source.js'
import { adapterLayers } from '../../model/adapter-options.js'
import { identifyBase } from '../../model/base-identity.js'
import { checkBaseFormat } from '../../model/model-options.js'
import { writeAdapterFolder } from '../../model/peft/folder.js'
import { readModelConfig } from '../../model/read-config.js'
import { stackResidual } from '../../model/residual.js'
import { identifyTokenizer } from '../../model/tokenizer-identity.js'
import { UnloadedAdapter } from '../../model/unloaded-adapter.js'
import type { Chosen } from '../algorithms/algorithm.js'
import { chooseAlgorithm } from '../algorithms/index.js'
import type { BlobStore } from '../blobs/blob-store.js'
import { checkCombinations } from '../combinations.js'
import type { Description } from '../link/messages.js'
import { type Space, spaceOf } from '../protocol/space.js'
import type { Server } from '../server/server.js'
import { encodeVector } from '../vector-message.js'
import type { CoordinatorConfig } from './options.js'

/** A value as JSON holds it. */
const plain = <T>(value: unknown): T => JSON.parse(JSON.stringify(value)) as T

export interface Setup {
  readonly chosen: Chosen
  readonly adapter: UnloadedAdapter
  readonly space: Space
  readonly initial: Float32Array
  readonly base: {
    readonly name: string
    readonly revision: string | null
    readonly config: string
    readonly weights: string
    /** Undefined where rows are ids already. */
    readonly tokenizer: string | undefined
  }
}

/** @throws FedloraError `E_CONFIG`, `E_MISSING`, `E_TOKENIZER` where rows are text and the folder has none, `E_FORMAT`, `E_UNSUPPORTED`, `E_IO`. */
export async function openSetup({ model, adapter: options, federation, data }: CoordinatorConfig): Promise<Setup> {
  const chosen = chooseAlgorithm(federation.algorithm)
  checkCombinations(federation, chosen)
  checkBaseFormat(model, 'server options: model')
  const { folder, id, revision } = await findModel(model.path)
  const adapter = new UnloadedAdapter(await readModelConfig(model.path), options)
  const space = spaceOf(adapter.layout, adapterLayers(adapter.config, adapter.targets))
  const { baseModelName } = model
  const name = baseModelName ?? id ?? `./${basename(folder)}`
  const base = {
    name,
    revision: baseModelName === undefined ? (revision ?? null) : null,
    ...(await identifyBase(model.path)),
    tokenizer: data.format === 'tokens' ? undefined : await identifyTokenizer(model.path),
  }
  return { chosen, adapter, space, initial: adapter.initial(), base }
}

/** What every client is told of the federation, but for who it is. */
export async function describe(
  config: CoordinatorConfig,
  setup: Setup,
  blobs: BlobStore,
): Promise<Omit<Description, 'run'>> {
  const { name, federation, data, model } = config
  const { chosen, adapter, base, initial } = setup
  const { path: _, baseModelName: __, ...options } = model
  const { algorithm: ___, ...rest } = federation
  return {
    protocol: 1,
    name,
    federation: plain({ ...rest, algorithm: { name: chosen.algorithm.name, ...chosen.options } }),
    model: {
      name: base.name,
      config: base.config,
      weights: base.weights,
      ...(base.tokenizer !== undefined && { tokenizer: base.tokenizer }),
      options: plain(options),
    },
    adapter: { config: plain(adapter.config), targets: [...adapter.targets], length: adapter.length },
    data: plain(data),
    initial: await blobs.put(encodeVector(initial)),
  }
}

/** @throws FedloraError `E_CHECKPOINT` naming the first field that differs from the federation that the journal is of. */
export function checkSame(journal: Description, now: Omit<Description, 'run'>): void {
  for (const key of ['federation', 'model', 'adapter', 'data', 'initial'] as const) {
    const here: unknown = JSON.parse(canonicalJson(now[key]))
    const difference = firstDifference(journal[key], here, key)
    if (difference === undefined) continue
    const { path: field, a: begun, b: given } = difference
    const [before, after] = [begun, given].map((value) => JSON.stringify(value) ?? 'nothing')
    const message = `the federation of this folder was begun with ${field} = ${before}, now it is ${after}; give the options that it was begun with, or another folder`
    throw new FedloraError('E_CHECKPOINT', message, { field })
  }
}

/** Writes what the federation has come to as a PEFT folder, as `adapter.save` would. */
export async function saveAdapter(folder: string, { adapter, base }: Setup, server: Server): Promise<void> {
  const { config, targets, layout } = adapter
  const own = { config, targets, layout, values: server.result }
  const { residual } = server
  const written = residual === undefined ? own : stackResidual(own, { ...residual })
  await writeAdapterFolder(
    join(folder, 'adapter'),
    { ...written, promptFormat: undefined },
    { ...base, transposed: adapter.transposed },
  )
}
