/**
 * The work of a client on its own machine: its rows, its model, and a place to train in. The model is loaded when the first work comes, and kept; what can
 * be refused without it is refused before.
 */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type DataSource, Dataset } from '../../data/index.js'
import { FedloraError, isFedloraError } from '../../errors.js'
import { Adapter } from '../../model/adapter.js'
import { adapterLayers, parseAdapterOptions } from '../../model/adapter-options.js'
import type { Model } from '../../model/model.js'
import { parseOptions } from '../../options/parse.js'
import { noiseFor } from '../../privacy/noise-for.js'
import { totalStepsOf } from '../../training/loop.js'
import { alone, type Stepper } from '../../training/stepper.js'
import { weightOf } from '../algorithms/defaults.js'
import type { BlobRef } from '../blobs/blob-store.js'
import { privateWork, shareOf } from '../client/private-work.js'
import type { PrivateWork } from '../client/trainer.js'
import { workOn } from '../client/work.js'
import type { Description } from '../link/messages.js'
import type { Time } from '../link/retry.js'
import { type FederationConfig, localSchema } from '../options.js'
import type { Task } from '../protocol/messages.js'
import { fitRanks, type Space, spaceOf } from '../protocol/space.js'
import { decodeVector } from '../vector-message.js'
import { Account } from './account.js'
import type { Base } from './base.js'
import { type Federation, readFederation } from './federation.js'
import { checkLimits, type Limits } from './limits.js'
import { leastMemory } from './memory.js'
import type { Prepared, Work } from './outbox.js'
import { openRows } from './rows.js'
import { checkSecureOffer } from './secure-offer.js'
import type { Done, WorkContext, Workshop, WorkshopContext } from './workshop.js'

export interface LocalWorkParts {
  /** The client's folder. */
  folder: string
  /** Whether it has been in the federation before. */
  began: () => boolean
  base: Base
  data: Dataset | DataSource
  limits: Limits
  time: Time
}

/** Optimiser steps of a training of these rows. */
const stepsOf = (rows: Dataset, { steps: maxSteps, ...local }: Local) =>
  totalStepsOf(rows, { ...local, seed: 0, maxSteps, schedule: () => 1 })

type Local = FederationConfig['local']
type Seen = Readonly<Federation & { rows: Dataset; initial: Float32Array; account: Account | undefined }>

export class LocalWork implements Workshop {
  readonly #parts: LocalWorkParts
  #seen: Seen | undefined
  #adapter: Adapter | undefined
  /** Of a step, as measured; undefined: none was taken yet. */
  #secondsOfStep: number | undefined

  constructor(parts: LocalWorkParts) {
    this.#parts = parts
  }

  async open(
    description: Description,
    context: WorkshopContext,
    download: (ref: BlobRef, path: string) => Promise<void>,
  ): Promise<void> {
    const { base, folder, data, began } = this.#parts
    const federation = readFederation(description, await base.config())
    await base.checkTokenizer(federation, data instanceof Dataset ? data.tokenizer?.folder : undefined)
    await base.check(federation, context.signal)
    const rows = await openRows(data, description, base.taker(), context)
    const { privacy } = federation.config
    const account =
      privacy?.level === 'example' ? await Account.open(folder, description.run, privacy, began()) : undefined
    const path = join(folder, 'initial.flup')
    await download(description.initial, path)
    const initial = decodeVector(await readFile(path), federation.adapter.length)
    await rm(path, { force: true })
    this.#seen = { ...federation, rows, initial, account }
  }

  get #federation(): Seen {
    if (this.#seen === undefined) throw new FedloraError('E_INTERNAL', 'work before the federation is known')
    return this.#seen
  }

  /** The client's local options: its own where the server says so, within its memory. */
  #local({ local }: Work): Local {
    const { config } = this.#federation
    const given = local === undefined ? config.local : parseOptions(localSchema, local, "the server's local options")
    const { memory } = this.#parts.limits
    if (memory === undefined) return given
    return { ...given, memoryBudget: Math.min(memory, given.memoryBudget ?? Number.POSITIVE_INFINITY) }
  }

  /** Adapter and space of the client. */
  #own({ adapter: own }: Work) {
    const { adapter, space } = this.#federation
    if (own === undefined) return { config: adapter.config, space }
    const config = parseAdapterOptions({ ...own, targetModules: [...adapter.targets] })
    return { config, space: undefined }
  }

  /** What private steps the round has; undefined: its steps are plain. */
  #private(local: Local, client: string): PrivateWork | undefined {
    const { config, rows } = this.#federation
    const { privacy, rounds } = config
    if (privacy?.level !== 'example') return undefined
    const share = shareOf({ name: client, data: rows, local }, privacy, (message, field): never => {
      throw new FedloraError('E_CONFIG', `the server's federation: ${message}`, { field })
    })
    const { delta, accountant, epsilon } = privacy
    const { sampleRate, steps } = share
    const noise =
      privacy.noiseMultiplier ??
      noiseFor({ epsilon: epsilon!, delta, accountant, sampleRate, steps: Math.max(1, steps * rounds) })
    return privateWork(privacy, share, noise)
  }

  async check(work: Work): Promise<void> {
    const { base, limits } = this.#parts
    const { config, chosen, rows, account, format } = this.#federation
    checkSecureOffer(work, config, chosen, rows.length)
    const local = this.#local(work)
    const privately = this.#private(local, work.offer.client)
    const steps = privately?.steps ?? stepsOf(rows, local)
    const seconds = this.#secondsOfStep && this.#secondsOfStep * steps
    checkLimits(limits, { steps, seconds, epsilon: this.#epsilonAfter(privately) })
    const { budget, epsilon } = { budget: config.privacy?.epsilon, epsilon: privately && account!.after(privately) }
    if (budget !== undefined && epsilon !== undefined && epsilon > budget) {
      throw new FedloraError(
        'E_LIMIT',
        `the round would spend an epsilon of ${epsilon.toPrecision(4)}, and privacy.epsilon is ${budget}`,
        { epsilon, budget },
      )
    }
    if (limits.memory !== undefined) {
      const layers = adapterLayers(this.#own(work).config, this.#federation.adapter.targets)
      const needed = leastMemory(await base.loading(format), layers, rows, local, privately !== undefined)
      checkLimits(limits, { memory: needed })
    }
  }

  /** ε of the rows here after a round; Infinity where its steps are not private, or everybody could make their noise. */
  #epsilonAfter(privately: PrivateWork | undefined): number {
    if (privately === undefined || privately.noise === 'seeded') return Number.POSITIVE_INFINITY
    return this.#federation.account!.after(privately)
  }

  async #place(work: Work): Promise<{ adapter: Adapter; space: Space; initial: Float32Array }> {
    const { adapter, space: shared, initial: given, format } = this.#federation
    const model: Model = await this.#parts.base.load(format)
    const { config, space } = this.#own(work)
    if (this.#adapter !== undefined && this.#adapter.config !== config) this.#adapter.dispose()
    if (this.#adapter === undefined || this.#adapter.disposed)
      this.#adapter = new Adapter(model, config, adapter.targets)
    const own = space ?? spaceOf(this.#adapter.layout, adapterLayers(config, adapter.targets))
    const initial = own === shared ? given : fitRanks(given, shared, own)
    return { adapter: this.#adapter, space: own, initial }
  }

  async work(task: Task, work: Work, { own, signal: outer, onStep, mask }: WorkContext): Promise<Done> {
    const { limits, time } = this.#parts
    const { chosen, config, rows } = this.#federation
    const local = this.#local(work)
    const late = new AbortController()
    const done = new AbortController()
    const signal = AbortSignal.any([outer, late.signal])
    if (limits.seconds !== undefined) {
      void time.sleep(1000 * limits.seconds, AbortSignal.any([outer, done.signal])).then(
        () =>
          late.abort(
            new FedloraError('E_LIMIT', `the work takes longer than limits.seconds allows, ${limits.seconds}`),
          ),
        () => {},
      )
    }
    try {
      const place = await this.#place(work)
      const { answer, vectors } = await workOn(task, {
        ...place,
        chosen,
        data: rows,
        local,
        privacy: this.#private(local, task.client),
        upload: config.upload,
        download: config.download,
        outgoing: [],
        mask: mask && ((answer, vectors) => mask(vectors, weightOf(chosen, config.weighting, answer))),
        own,
        stepper: this.#telling(stepsOf(rows, local), onStep),
        inTurn: (alone) => alone(),
        signal,
      })
      return { answer, vectors, codec: config.upload.codec }
    } catch (error) {
      if (isFedloraError(error, 'E_MEMORY') && limits.memory !== undefined) {
        throw new FedloraError('E_LIMIT', error.message, error.details, error)
      }
      throw error
    } finally {
      done.abort()
    }
  }

  /** Tells of every step. */
  #telling(steps: number, onStep: WorkContext['onStep']): Stepper {
    let step = 0
    return {
      step: async (request) => {
        const result = await alone.step(request)
        if (result.cancelled) return result
        step++
        this.#secondsOfStep = result.seconds
        onStep({ step, steps: Math.max(steps, step), loss: result.loss })
        return result
      },
    }
  }

  async beforeSending({ manifest, outgoing }: Prepared, work: Work): Promise<void> {
    checkLimits(this.#parts.limits, { bytesUp: outgoing.bytes })
    const privately = this.#private(this.#local(work), manifest.answer.client)
    if (privately === undefined) return
    const { sampleRate, noiseMultiplier, steps } = privately
    await this.#federation.account!.pay(manifest.blob?.blob ?? `round ${outgoing.round}`, {
      sampleRate,
      noiseMultiplier,
      steps,
    })
  }

  get epsilon(): number | undefined {
    const { account, config } = this.#seen ?? {}
    return config?.privacy?.noise === 'seeded' ? undefined : account?.epsilon
  }

  dispose(): void {
    this.#adapter?.dispose()
    this.#parts.base.dispose()
  }
}
