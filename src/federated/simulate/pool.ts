/** Runs tasks with at most a fixed number at work, each in a slot that holds what it reuses; and work that must take turns. */

/** A function that begins what it is given when all that it was given before has ended. */
export function takeTurns(): <R>(work: () => Promise<R>) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }
}

/**
 * Calls `work` for every item. After a failure no further item is begun; the first failure is thrown when all that were at
 * work have ended. `onIdle` is called for each slot when there is nothing more for it to do.
 */
export async function runPool<Item, Slot>(
  items: readonly Item[],
  slots: readonly Slot[],
  work: (item: Item, slot: Slot) => Promise<void>,
  onIdle: () => void = () => {},
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
      onIdle()
    }),
  )
  if (failed) throw failure
}
