/** `fedlora/flower`: a client of Flower federations (SuperLink 1.40 to 1.43) in TypeScript. */
export { type FlowerEvent, type FlowerJoinOptions, joinFlower } from './join.js'
export { keygenFlower } from './key/keygen.js'
export type { About, NodeEvent, NodeResult } from './node/events.js'
export type { Instruction, Reply, Work } from './node/instruction.js'
export type { FlowerArray } from './objects/npy.js'
export type { RecordValue } from './objects/values.js'
export { type FlowerNodeOptions, type FlowerRun, runFlowerNode } from './run-node.js'
