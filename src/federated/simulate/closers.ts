/** Everything a run opens, so that it is closed in one place whatever happens: the last first. */
export class Closers {
  readonly #closers: (() => unknown)[] = []

  add(close: () => unknown): void {
    this.#closers.push(close)
  }

  /** Registers what has a `dispose`, and gives it back. */
  own<T extends { dispose(): void }>(owned: T): T {
    this.add(() => owned.dispose())
    return owned
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
  }
}
