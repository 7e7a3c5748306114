/** A nats-server for worlds with workers, in which each world has names of its own. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { openDirectoryBlobs } from '../../../dist/federated/blobs/directory.js'
import { MemoryBlobs } from '../../../dist/federated/blobs/memory.js'
import { NatsBlobs, openBucket } from '../../../dist/federated/nats/blobs.js'
import { connectNats } from '../../../dist/federated/nats/connect.js'
import { namesOf } from '../../../dist/federated/nats/names.js'
import { NatsQueue } from '../../../dist/federated/nats/queue.js'

/** Where it writes down its ports: beside the worlds. */
const placeIn = (folder) => join(folder, 'nats')

/** Starts one for the worlds of a folder. @param {string} folder @returns {Promise<() => void>} what ends it */
export async function startNats(folder) {
  const place = placeIn(folder)
  mkdirSync(place)
  const program = process.env.FEDLORA_NATS_SERVER ?? 'nats-server'
  const words = ['-js', '-sd', join(place, 'store'), '-a', '127.0.0.1', '-p', '-1', '--ports_file_dir', place]
  const child = spawn(program, words, { stdio: 'ignore' })
  const died = new Promise((_, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`${program} ended with ${code}`)))
  })
  died.catch(() => {})
  const stop = () => void child.kill('SIGKILL')
  process.once('exit', stop)
  const ready = async () => {
    while (addressIn(place) === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await Promise.race([ready(), died])
  return stop
}

function addressIn(place) {
  const file = existsSync(place) ? readdirSync(place).find((name) => name.endsWith('.ports')) : undefined
  const text = file === undefined ? '' : readFileSync(join(place, file), 'utf8')
  return text.trimEnd().endsWith('}') ? JSON.parse(text).nats[0] : undefined
}

/** Blobs and work of a world, as whoever starts now finds them. @param {string} world @param {{ serves: boolean }} as */
export async function inNats(world, { serves }) {
  const names = namesOf(basename(world))
  const connection = await connectNats({ servers: addressIn(placeIn(dirname(world))) })
  const staging = serves ? await openDirectoryBlobs(join(world, 'server/blobs'), { reserve: 0 }) : new MemoryBlobs()
  const blobs = new NatsBlobs(await openBucket(connection, names.blobs), staging)
  const queue = await NatsQueue.open(connection, names, { silence: 1, pause: 20 })
  return { blobs, queue, close: () => connection.close() }
}
