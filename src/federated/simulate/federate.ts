/** A federation from its first round to its result: rounds, evaluations, checkpoints, baselines, and what is kept however it ends. */
import { isFedloraError } from '../../errors.js'
import { type EvaluationResult, evaluate } from '../../evaluation/evaluate.js'
import { isAbortOf } from '../../run/failure.js'
import type { RunContext } from '../../run/run.js'
import { scheduleFactor } from '../../training/schedule.js'
import type { BaselineReport, FederationEvent, FederationResult } from '../events.js'
import { startRounds } from '../protocol/rounds.js'
import { runBaselines } from './baselines.js'
import type { Closers } from './closers.js'
import { addRound } from './figures.js'
import { type Federation, openFederation, type Request } from './open.js'
import { runRound } from './round.js'

type Context = RunContext<FederationEvent>
/** What has been measured so far. */
type Measured = Pick<FederationResult, 'evaluation' | 'baselines'>

/** The adapter of the last complete round on the held-out rows; null when there are none. */
async function judge(
  { evaluation }: Request,
  { tools, record }: Federation,
  { signal }: Context,
): Promise<EvaluationResult | null> {
  if (evaluation === undefined) return null
  const { server } = tools
  const slot = tools.slots[0]!.in(server.space)
  slot.setVector(server.result)
  const result = await evaluate(slot, evaluation.data, { signal })
  await record.tell({ type: 'evaluation', round: server.round, ...result })
  return result
}

async function keepRound({ config }: Request, { record, tools, totals }: Federation): Promise<void> {
  await record.checkpoint(tools.server, config.rounds, totals, tools.own)
}

async function runRounds(request: Request, federation: Federation, context: Context): Promise<void> {
  const { config, evaluation } = request
  const { tools, record } = federation
  const { rounds, local, checkpointEvery } = config
  const every = evaluation?.every ?? 0
  const peak = local.learningRate
  let state = startRounds(rounds, tools.server.round)
  while (state.phase === 'idle') {
    context.signal.throwIfAborted()
    const round = state.round + 1
    const rate = peak * scheduleFactor(local.schedule, state.round, { steps: rounds, warmup: 0, peak })
    const done = await runRound(tools, state, rate, context.signal, (report) =>
      context.emit({ type: 'client', round, ...report }),
    )
    const { event } = done
    state = done.rounds
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
  for await (const report of runBaselines({
    config: request.config,
    clients: tools.clients,
    adapter: tools.slots[0]!.in(tools.spaces.server),
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
  const measured: Measured = { evaluation: null, baselines: [] }
  try {
    await runRounds(request, federation, context)
    measured.evaluation = await judge(request, federation, context)
    await compare(request, federation, context, measured.baselines)
    await record.tell({ type: 'done', rounds: server.round })
  } catch (error) {
    const keep = () => keepRound(request, federation)
    const failure = await record.keep(error, request.adapter, keep, server)
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
  }
  release()
  await record.saveAdapter(adapter, server.result)
  const { trainSeconds, ...sums } = federation.totals
  return {
    rounds: server.round,
    concurrency: tools.slots.length,
    ...sums,
    tokensPerSecond: trainSeconds > 0 ? sums.tokens / trainSeconds : 0,
    ...measured,
    adapter,
    folder: record.path ?? null,
  }
}
