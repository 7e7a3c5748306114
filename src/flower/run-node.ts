/** A node of a Flower federation with a work of the caller's own. */
import { readFile } from 'node:fs/promises'
import type { z } from 'zod'
import { FedloraError } from '../errors.js'
import { ioError } from '../files/atomic.js'
import { lockFolder } from '../files/lock.js'
import { parseOptions } from '../options/parse.js'
import { isAbortOf } from '../run/failure.js'
import { Run, type RunContext } from '../run/run.js'
import { readNodeKey } from './key/key.js'
import type { NodeEvent, NodeResult } from './node/events.js'
import { FlowerNode } from './node/node.js'
import { type FlowerNodeOptions, nodeOptionsSchema } from './node/options.js'
import { usualPace } from './node/pace.js'

/** A node under way: iterate it for its events, await it for what became of its time. */
export type FlowerRun<E = NodeEvent> = Run<E, NodeResult>

/** @throws FedloraError `E_MISSING`, `E_IO`, `E_FORMAT` for a file that holds no certificate. */
async function readAuthority(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw ioError(error, `cannot read '${path}'`)
    throw new FedloraError('E_MISSING', `flower: ca: '${path}' does not exist`, { path }, error)
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new FedloraError('E_FORMAT', `flower: ca: '${path}' holds no certificate in PEM`, { path })
}

/** @internal What `runFlowerNode` does, within a run that is another's. */
export async function workAsNode(
  options: z.output<typeof nodeOptionsSchema>,
  context: Pick<RunContext<NodeEvent>, 'signal' | 'aborted' | 'emit'>,
): Promise<NodeResult> {
  const { url, insecure, folder, work, idle, maxBytes, pace = usualPace } = options
  const { signal, emit } = context
  const key = await readNodeKey(options.key)
  const ca = await readAuthority(options.ca)
  const node = new FlowerNode({ url, ca, insecure, key, folder, work, idle, maxBytes, pace, signal, emit })
  const lock = await lockFolder(folder)
  try {
    return await node.run()
  } catch (error) {
    // Who stops a node gets what it has done; who aborts it, the reason.
    if (!isAbortOf({ aborted: signal.aborted, signal }, error) || context.aborted) throw error
    return node.result
  } finally {
    lock.release()
  }
}

/**
 * Takes part in the Flower federations of a SuperLink (1.40 to 1.43), which sends instructions: `work` does them. It starts at once, asks the
 * server by outbound requests alone, and goes on until the signal fires, `stop()` is called, or nothing came for `idle` seconds.
 *
 * Everything that is under way lies in `folder`: an instruction before the server is told that it has arrived, a reply before it is sent. A
 * node that was killed goes on where it was, under the same id, and sends the bytes that it would have sent. What `work` throws is told the
 * server as an error; the node goes on.
 * @throws FedloraError (by rejection) `E_CONFIG`, `E_MISSING`, `E_FORMAT`, `E_LOCKED`, `E_AUTH`, `E_CLOCK`, `E_PROTOCOL`,
 * `E_IO`; the signal's reason when aborted.
 */
export function runFlowerNode(options: FlowerNodeOptions): FlowerRun {
  const signal = options?.signal instanceof AbortSignal ? options.signal : undefined
  return new Run<NodeEvent, NodeResult>(async (context) => {
    return await workAsNode(parseOptions(nodeOptionsSchema, options, 'flower node options'), context)
  }, signal)
}
