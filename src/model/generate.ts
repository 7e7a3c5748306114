/** Text generation: prompt to ids, native decoding in small chunks, ids to text that can no longer change, stop strings cut exactly. */
import { z } from 'zod'
import { formatNames } from '../data/formats/formats.js'
import type { GenerationOptions, NativeGeneration } from '../native/binding.js'
import { finishReasons, type Progress } from './generation.js'
import { type Asked, type Prompt, resolvePrompt } from './prompt.js'
import { StopFilter } from './stop-filter.js'

/** How a prompt is continued, whatever continues it. */
export const decodingOptionsSchema = z.strictObject({
  maxTokens: z.int().min(1).default(256).describe('tokens to generate at most'),
  temperature: z.number().min(0).default(0).describe('0: greedy'),
  topK: z.int().min(0).default(0).describe('draw among the K most probable tokens; 0: off'),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe('draw among the fewest tokens whose probabilities sum to P; 1: off'),
  seed: z.int().min(0).default(0).describe('seed of the draws'),
  stop: z
    .union([z.string().min(1), z.array(z.string().min(1))])
    .default([])
    .describe('texts that end the generation; they are not part of the output'),
  endTokens: z
    .array(z.int().min(0))
    .optional()
    .describe("tokens that end the generation; default those of the model's generation_config.json and config.json"),
  format: z
    .enum(formatNames)
    .optional()
    .describe('the format of a prompt that is a row or a plain text; default: what the adapter was trained with'),
  raw: z.boolean().default(false).describe('a plain text is continued as it is, whatever the adapter was trained with'),
  signal: z.instanceof(AbortSignal).optional().describe('stops the generation'),
})

export type Decoding = z.output<typeof decodingOptionsSchema>

/** A model, its adapter bound: what continues a prompt. */
export interface Decoder extends Asked {
  /** Tokens that end a text, as the model's configs have them. */
  readonly endTokenIds: readonly number[]
  begin(request: GenerationOptions): Promise<NativeGeneration>
}

/** Tokens per native call: few, so that text streams and a stop string wastes little. */
const chunk = 4

/** Ids in the chunks that the engine gives; the end token is the last one. */
async function* decode(
  decoder: Decoder,
  ids: Int32Array,
  endIds: Int32Array,
  options: Omit<Decoding, 'stop'>,
  progress?: Progress,
): AsyncGenerator<Int32Array, void, undefined> {
  const { signal, maxTokens, temperature, topK, topP, seed } = options
  signal?.throwIfAborted()
  const generation = await decoder.begin({ ids, maxTokens, temperature, topK, topP, seed, endIds })
  const cancel = () => generation.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    for (let done = false; !done; ) {
      const next = await generation.next(chunk)
      signal?.throwIfAborted()
      done = next.done
      if (progress !== undefined) {
        progress.promptTokens = next.promptTokens
        progress.completionTokens = next.completionTokens
        if (next.finishReason !== undefined) progress.finishReason = finishReasons[next.finishReason]
      }
      if (next.ids.length > 0) yield next.ids
    }
  } finally {
    signal?.removeEventListener('abort', cancel)
    generation.dispose()
  }
}

/** Token ids of a continuation, the end token included; see `Model.generateTokens`. */
export async function* generateTokens(
  decoder: Decoder,
  prompt: Prompt,
  options: Omit<Decoding, 'stop'>,
): AsyncGenerator<number, void, undefined> {
  const ids = await resolvePrompt(decoder, prompt, options)
  const ends = Int32Array.from(options.endTokens ?? decoder.endTokenIds)
  for await (const next of decode(decoder, ids, ends, options)) yield* next
}

/** The pieces of a continuation's text; see `Model.generate`. What becomes of it is written into `progress`. */
export async function* generateText(
  decoder: Decoder,
  prompt: Prompt,
  options: Decoding,
  progress: Progress,
): AsyncGenerator<string, void, undefined> {
  const tokenizer = await decoder.tokenizer()
  const ids = await resolvePrompt(decoder, prompt, options)
  const known = tokenizer.endTokens.filter((id) => id < decoder.vocabulary)
  const ends = new Set(options.endTokens ?? [...decoder.endTokenIds, ...known])
  const stream = tokenizer.stream({ skipSpecialTokens: true })
  const filter = new StopFilter(typeof options.stop === 'string' ? [options.stop] : options.stop)
  for await (const next of decode(decoder, ids, Int32Array.from(ends), options, progress)) {
    let made = progress.completionTokens - next.length
    for (const id of next) {
      made++
      if (ends.has(id)) break
      const { text, stopped } = filter.push(stream.push(id))
      if (stopped) Object.assign(progress, { finishReason: 'stop', completionTokens: made })
      if (text !== '') yield text
      if (stopped) return
    }
  }
  const { text, stopped } = filter.push(stream.finish())
  if (stopped) progress.finishReason = 'stop'
  const rest = stopped ? text : text + filter.finish()
  if (rest !== '') yield rest
}
