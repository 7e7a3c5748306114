#!/usr/bin/env node
/** The `fedlora` command. */
import { joinWords } from './join-words.js'
import { type CommandTable, runCli } from './run.js'
import { guardStreams } from './streams.js'

const commands: CommandTable = {
  demo: {
    summary: 'three organisations fine-tune one adapter on GSM8K, about a minute',
    load: async () => (await import('./commands/demo.js')).demo,
  },
  train: { summary: 'fine-tune a LoRA adapter', load: async () => (await import('./commands/train.js')).train },
  eval: {
    summary: 'loss, perplexity and accuracy on data',
    load: async () => (await import('./commands/eval.js')).evaluate,
  },
  generate: { summary: 'continue a prompt', load: async () => (await import('./commands/generate.js')).generate },
  chat: {
    summary: 'talk with a model, with an adapter or without',
    load: async () => (await import('./commands/chat.js')).chat,
  },
  simulate: {
    summary: 'run a federation in one process',
    load: async () => (await import('./commands/simulate.js')).simulate,
  },
  serve: {
    summary: 'the server of a federation between machines',
    load: async () => (await import('./commands/serve.js')).serve,
  },
  join: {
    summary: 'take part in a federation with the rows of this machine',
    load: async () => (await import('./commands/join.js')).join,
  },
  aggregate: {
    summary: 'a worker that screens and sums answers for a server over NATS',
    load: async () => (await import('./commands/aggregate.js')).aggregate,
  },
  federation: {
    summary: 'what the operator of a server asks and says: invite, status, revoke, pause, …',
    load: async () => (await import('./commands/federation.js')).federation,
  },
  study: {
    summary: 'compare algorithms of federated learning with one budget',
    load: async () => (await import('./commands/study.js')).study,
  },
  nats: {
    summary: 'write a configuration for a NATS server that carries a federation, and the keys of its users',
    load: async () => (await import('./commands/nats.js')).nats,
  },
  flower: {
    summary: 'take part in Flower federations: make a key, join a server',
    load: async () => (await import('./commands/flower.js')).flower,
  },
  quantize: {
    summary: 'write a bitsandbytes checkpoint',
    load: async () => (await import('./commands/quantize.js')).quantize,
  },
  merge: {
    summary: 'fold an adapter into its base model',
    load: async () => (await import('./commands/merge.js')).merge,
  },
  export: {
    summary: 'write an adapter as a GGUF file',
    load: async () => (await import('./commands/export.js')).exportCommand,
  },
  config: {
    summary: 'the JSON Schema of a config file, for editors',
    load: async () => (await import('./commands/config.js')).config,
  },
  doctor: {
    summary: 'what this machine offers and what is in use',
    load: async () => (await import('./commands/doctor.js')).doctor,
  },
  build: {
    summary: 'compile the native addon for this machine from the sources in the package',
    load: async () => (await import('./commands/build.js')).build,
  },
  bench: { summary: 'measure speed on this machine', load: async () => (await import('./commands/bench.js')).bench },
}

guardStreams()
process.exitCode = await runCli(joinWords(process.argv.slice(2)), commands)
