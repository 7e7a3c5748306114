/** Runs tasks with at most a fixed number at work, each in a slot that holds what it reuses. */

/**
 * Calls `work` for every item. After a failure no further item is begun; the first failure is thrown when all that were at
 * work have ended.
 */
export async function runPool<Item, Slot>(
  items: readonly Item[],
  slots: readonly Slot[],
  work: (item: Item, slot: Slot) => Promise<void>,
): Promise<void> {
  let next = 0
  let failed = false
  let failure: unknown
  await Promise.all(
    slots.map(async (slot) => {
      while (!failed && next < items.length) {
        const item = items[next++]!
        try {
          await work(item, slot)
        } catch (error) {
          if (!failed) failure = error
          failed = true
        }
      }
    }),
  )
  if (failed) throw failure
}
