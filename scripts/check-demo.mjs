#!/usr/bin/env node
// Runs the demo as a stranger would, into a temporary folder, and compares its last line with the losses that PyTorch and
// PEFT reach with the same data, split and recipe (test/golden/demo.json).
//
// Usage: node scripts/check-demo.mjs
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lastJson, root, run, runMain, ScriptError } from './lib/project.mjs'

const lossTolerance = 0.03
const leastCompression = 7
const mostMemoryMiB = 350

/** Everything in which a demo's result falls short of the golden; NaN and missing numbers fall short. */
export function judgeDemo(result, golden) {
  const problems = []
  const near = (name, got, want) => {
    if (!(Math.abs(got - want) <= lossTolerance * want)) problems.push(`${name}: loss ${got}, PyTorch reaches ${want}`)
  }
  near('base', result.base?.loss, golden.base.loss)
  near('allData', result.allData?.loss, golden.all_data.loss)
  if (result.alone?.length !== golden.alone.length) problems.push(`alone: ${result.alone?.length} clients`)
  for (const [index, client] of golden.alone.entries()) near(`alone ${index}`, result.alone?.[index]?.loss, client.loss)
  if (!(result.federated?.loss <= golden.bound.federated_loss)) {
    problems.push(`federated: loss ${result.federated?.loss}, at most ${golden.bound.federated_loss}`)
  }
  for (const alone of result.alone ?? []) {
    if (!(result.federated?.loss < alone.loss)) problems.push(`federated does not beat a client alone (${alone.loss})`)
  }
  if (!(result.bytesUpRaw >= leastCompression * result.bytesUp)) {
    problems.push(`uploads: ${result.bytesUp} bytes for ${result.bytesUpRaw}, at least ${leastCompression} times fewer`)
  }
  if (!(result.peakRssMiB <= mostMemoryMiB))
    problems.push(`peak memory ${result.peakRssMiB} MiB, at most ${mostMemoryMiB}`)
  for (const key of ['bytesDown', 'tokensPerSecond', 'seconds']) {
    if (!(result[key] > 0)) problems.push(`${key} is ${result[key]}`)
  }
  return problems
}

await runMain(import.meta, 'check-demo', () => {
  const golden = JSON.parse(readFileSync(join(root, 'test', 'golden', 'demo.json'), 'utf8'))
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-demo-'))
  try {
    const output = run('npm', ['run', '--silent', 'demo', '--', '--json', '--output', join(folder, 'run')], {
      capture: true,
    })
    const result = lastJson(output)
    if (result.type !== 'result')
      throw new ScriptError('E_DEMO', `the last line is no result: ${JSON.stringify(result)}`)
    const problems = judgeDemo(result, golden)
    for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
      if (!existsSync(join(result.adapter, file))) problems.push(`the adapter folder ${result.adapter} has no ${file}`)
    }
    if (!existsSync(join(result.runFolder, 'events.ndjson'))) problems.push(`the run folder has no events.ndjson`)
    if (problems.length > 0) throw new ScriptError('E_DEMO', `the demo falls short:\n  ${problems.join('\n  ')}`)
    const losses = [result.base, ...result.alone, result.federated, result.allData].map(({ loss }) => loss.toFixed(4))
    console.log(`demo: losses base, alone ×${result.alone.length}, federated, all data: ${losses.join('  ')}`)
    console.log(
      `demo: ${result.seconds.toFixed(1)} s, peak ${result.peakRssMiB.toFixed(0)} MiB, uploads ${(result.bytesUpRaw / result.bytesUp).toFixed(1)} times smaller`,
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
