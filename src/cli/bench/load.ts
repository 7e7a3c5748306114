/** How fast a checkpoint becomes packed weights, in bytes of its file. */

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { loadModel } from '../../model/load.js'
import { quantizeModel } from '../../model/quantize.js'
import { readModelConfig } from '../../model/read-config.js'
import type { Quantization } from '../../native/binding.js'
import { adamw } from '../../training/optimizer.js'
import { writeCheckpoint } from './checkpoint.js'
import { gigabytesPerSecond, type Measurement, median } from './measure.js'
import type { ShapeName } from './shapes.js'

interface Loading {
  /** Folder of the checkpoint, how it is loaded, and how it is stored. */
  folder: string
  quantization: Quantization
  stored: string
}

/**
 * Loads a checkpoint a few times, the page cache warm, and takes three training steps of 512 tokens on it each time; the first step
 * counts with what comes before it: the adapter, the session, the buffers.
 */
async function measureLoading(loading: Loading, threads: number): Promise<{ line: Measurement; logits: Float32Array }> {
  const { folder, quantization, stored } = loading
  const { size } = await stat(join(folder, 'model.safetensors'))
  const seconds: number[] = []
  const firsts: number[] = []
  let bytes = 0
  let logits = new Float32Array()
  for (let repeat = 0; repeat < 4; repeat++) {
    const start = performance.now()
    const model = await loadModel(folder, { quantization, threads, compute: 'bf16' })
    const loaded = performance.now()
    try {
      const adapter = model.createAdapter()
      const session = adapter.handle
        .use('bench load')
        .createSession({ optimizer: adamw, maxGradNorm: 1, dropoutSeed: 0, recompute: 'none' })
      const ids = Int32Array.from({ length: 512 }, (_, i) => (i * 7919 + 13) % model.config.vocabulary)
      const steps: number[] = []
      for (let begin = loaded; steps.length < 3; begin = performance.now()) {
        await session.step([{ ids, labels: ids, lengths: Int32Array.of(512) }], 1e-4)
        steps.push(performance.now() - begin)
      }
      if (repeat > 0) {
        seconds.push((loaded - start) / 1000)
        firsts.push((2 * steps[0]!) / (steps[1]! + steps[2]!))
      }
      bytes = model.memory.total
      logits = (await model.logits({ inputIds: [[5, 6, 7]] })).data as Float32Array<ArrayBuffer>
    } finally {
      model.dispose()
    }
  }
  const line = {
    stored,
    loadedAs: quantization,
    seconds: Number(median(seconds).toPrecision(4)),
    fileGBs: gigabytesPerSecond(size, median(seconds)),
    fileMiB: Math.round(size / 2 ** 20),
    packedMiB: Math.round(bytes / 2 ** 20),
    firstStepToSteady: Number(median(firsts).toFixed(2)),
  }
  return { line, logits }
}

/** Measures `folder`, or a checkpoint of a published shape that is made, quantised, measured and removed. */
export async function benchLoad(folder: string | undefined, shape: ShapeName, threads: number): Promise<Measurement[]> {
  const lines: Measurement[] = []
  const load = async (folder: string, quantization: Quantization, stored: string) => {
    const { line, logits } = await measureLoading({ folder, quantization, stored }, threads)
    lines.push(line)
    return logits
  }
  if (folder !== undefined) {
    const stored = (await readModelConfig(folder)).storedQuantization?.format ?? 'plain'
    for (const format of stored === 'plain' ? (['nf4', 'int8', 'bf16', 'none'] as const) : (['none'] as const)) {
      await load(folder, format, stored)
    }
    return lines
  }
  const temporary = await mkdtemp(join(tmpdir(), 'fedlora-bench-'))
  try {
    await writeCheckpoint(temporary, shape)
    const quantized = join(temporary, 'nf4')
    await quantizeModel(temporary, quantized, { quantization: 'nf4', threads })
    const converted = await load(temporary, 'nf4', 'bf16')
    for (const format of ['int8', 'bf16'] as const) await load(temporary, format, 'bf16')
    const opened = await load(quantized, 'none', 'nf4')
    // The same packed weights either way.
    if (converted.length === 0 || !converted.every((value, i) => value === opened[i])) {
      throw new FedloraError(
        'E_INTERNAL',
        'bench load: the quantised checkpoint gives other logits than the converted one',
      )
    }
    return lines
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}
