/** A federation from its first round to its result: rounds, evaluations, checkpoints, baselines, and what is kept however it ends. */
import { isFedloraError } from '../../errors.js'
import { evaluate } from '../../evaluation/evaluate.js'
import { isAbortOf, keepDespite } from '../../run/failure.js'
import type { RunContext } from '../../run/run.js'
import type { BaselineReport, FederationEvent, FederationResult } from '../events.js'
import { addRound } from '../figures.js'
import { runBaselines } from './baselines.js'
import type { Closers } from './closers.js'
import { measureClients } from './measure.js'
import { type Federation, openFederation, type Request } from './open.js'
import { savePersonal } from './served.js'
import { wear } from './spaces.js'
import { stepsOf } from './steps.js'

type Context = RunContext<FederationEvent>
/** What has been measured so far. */
type Measured = Pick<FederationResult, 'evaluation' | 'clientEvaluations' | 'baselines'>

/** The adapters of the last complete round: the global one on rows of nobody, and the clients' on their own. */
async function judge(
  { evaluation }: Request,
  { tools, record, measurable, tookPart }: Federation,
  { signal }: Context,
): Promise<Omit<Measured, 'baselines'>> {
  const { server } = tools
  const { round } = server
  const measured: Omit<Measured, 'baselines'> = { evaluation: null, clientEvaluations: [] }
  if (evaluation?.data !== undefined) {
    const slot = tools.slots[0]!.in(server.space)
    wear(slot, server.result, server.residual)
    measured.evaluation = await evaluate(slot, evaluation.data, { signal })
    await record.tell({ type: 'evaluation', round, of: 'global', ...measured.evaluation })
  }
  for (const whose of ['global', 'personal'] as const) {
    if (evaluation?.of !== whose && evaluation?.of !== 'both') continue
    const result = await measureClients(tools, measurable, whose, evaluation.fineTune, tookPart, signal)
    measured.clientEvaluations.push(result)
    await record.tell({ type: 'evaluation', round, ...result })
  }
  return measured
}

async function keepRound({ config }: Request, { record, tools, totals, tookPart }: Federation): Promise<void> {
  await record.checkpoint(tools.server, config.rounds, totals, tookPart, tools)
}

/** The global adapter and the clients' own, of the last complete round, as PEFT folders. */
async function saveAdapters({ adapter }: Request, { record, tools }: Federation): Promise<void> {
  if (record.path === undefined) return
  const { server, slots } = tools
  const slot = slots[0]!.in(server.space)
  slot.promptFormat = adapter.promptFormat
  wear(slot, server.result, server.residual)
  await record.saveAdapter(slot, server.result)
  await savePersonal(tools, record.path, adapter.promptFormat)
}

async function runRounds(request: Request, federation: Federation, context: Context): Promise<void> {
  const { config, evaluation } = request
  const { tools, record } = federation
  const { rounds, checkpointEvery } = config
  const every = evaluation?.every ?? 0
  const steps = stepsOf(tools)
  while (!steps.done) {
    context.signal.throwIfAborted()
    const round = tools.server.round + 1
    if (tools.budget?.allows(round) === false) {
      const { epsilon, budget } = tools.budget
      await record.tell({ type: 'budget', round: round - 1, epsilon, budget })
      await keepRound(request, federation)
      return
    }
    const done = await steps.next(context.signal, (report) => context.emit({ type: 'client', round, ...report }))
    const { event } = done
    for (const index of done.counted) federation.tookPart.add(index)
    federation.totals = addRound(federation.totals, event)
    await record.tell(event)
    if (every > 0 && round % every === 0 && round < rounds) await judge(request, federation, context)
    if (round % checkpointEvery === 0 || round === rounds) await keepRound(request, federation)
  }
}

/** Runs the baselines; `reports` gets one after the other. */
async function compare(
  request: Request,
  federation: Federation,
  context: Context,
  reports: BaselineReport[],
): Promise<void> {
  const { tools, initial, record } = federation
  const adapter = tools.slots[0]!.in(tools.spaces.server)
  wear(adapter, initial, undefined)
  for await (const report of runBaselines({
    config: request.config,
    clients: tools.clients,
    locals: tools.locals,
    adapter,
    initial,
    evaluation: request.evaluation?.data,
    folder: record.path,
    signal: context.signal,
    onStep: (name, step, steps, loss, tokensPerSecond) =>
      context.emit({ type: 'baseline-step', name, step, steps, loss, tokensPerSecond }),
  })) {
    reports.push(report)
    await record.tell({ type: 'baseline', ...report })
  }
}

/**
 * What has been measured when the run ends, which is not all when it was told to stop.
 * @throws what ended it, after the last complete round was kept.
 */
async function runToEnd(request: Request, federation: Federation, context: Context): Promise<Measured> {
  const { record } = federation
  const { server } = federation.tools
  const measured: Measured = { evaluation: null, clientEvaluations: [], baselines: [] }
  try {
    await runRounds(request, federation, context)
    Object.assign(measured, await judge(request, federation, context))
    await compare(request, federation, context, measured.baselines)
    await record.tell({ type: 'done', rounds: server.round })
  } catch (error) {
    const keep = () => keepRound(request, federation)
    const save = () => saveAdapters(request, federation)
    const failure = await keepDespite(error, `the state after round ${server.round}`, [keep, save])
    const told = context.signal.aborted && failure === context.signal.reason && !isFedloraError(failure)
    if (!told) await record.fail(failure, server.round)
    if (!told || isAbortOf(context, failure)) throw failure
  }
  return measured
}

/** Runs the federation that `request` asks for; `closers` gets what must be closed behind it. */
export async function federate(request: Request, context: Context, closers: Closers): Promise<FederationResult> {
  const { adapter } = request
  const federation = await openFederation(request, context, closers)
  const { record, values, release, tools } = federation
  const { server } = tools
  let measured: Measured
  try {
    measured = await runToEnd(request, federation, context)
  } finally {
    values.write(server.result)
    release()
    if (server.residual !== undefined && !adapter.disposed) adapter.setResidual(server.residual)
  }
  await saveAdapters(request, federation)
  const { trainSeconds, ...sums } = federation.totals
  return {
    rounds: server.round,
    concurrency: tools.slots.length,
    ...sums,
    tokensPerSecond: trainSeconds > 0 ? sums.tokens / trainSeconds : 0,
    clock: tools.clock === undefined ? null : { seconds: tools.clock.now, joules: tools.clock.joules },
    ...measured,
    privacy: tools.budget?.report(server.clip) ?? null,
    adapter,
    folder: record.path ?? null,
  }
}
