/** Draws for tests: xorshift32, the same for the same seed. `draw(n)` gives 0 to n − 1. */
export function random(seed: number): (below: number) => number {
  let state = seed | 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
