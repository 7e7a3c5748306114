/** The discrete Fourier transform of 2^k complex numbers, in place: radix 2, each root from its own angle. */

/** Exchanges each element with the one whose index has its bits in reverse. */
function reverseBits(re: Float64Array, im: Float64Array): void {
  const n = re.length
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1
    for (; j & bit; bit >>= 1) j ^= bit
    j ^= bit
    if (i >= j) continue
    const realPart = re[i]!
    const imaginaryPart = im[i]!
    re[i] = re[j]!
    im[i] = im[j]!
    re[j] = realPart
    im[j] = imaginaryPart
  }
}

/** cos and sin of 2πk/n, k < n/2. */
function roots(n: number): [Float64Array, Float64Array] {
  const cosine = new Float64Array(n / 2)
  const sine = new Float64Array(n / 2)
  for (let k = 0; k < n / 2; k++) {
    const angle = (2 * Math.PI * k) / n
    cosine[k] = Math.cos(angle)
    sine[k] = Math.sin(angle)
  }
  return [cosine, sine]
}

/** X_k = Σ_j x_j e^{−2πi jk/n}, over `re` and `im` of one length, a power of two. For the inverse exchange the two and divide by n. */
export function fft(re: Float64Array, im: Float64Array): void {
  const n = re.length
  reverseBits(re, im)
  const [cosine, sine] = roots(n)
  for (let half = 1; half < n; half *= 2) {
    const stride = n / (2 * half)
    for (let start = 0; start < n; start += 2 * half) {
      for (let k = 0, root = 0; k < half; k++, root += stride) {
        const a = start + k
        const b = a + half
        const c = cosine[root]!
        const s = sine[root]!
        const realPart = re[b]! * c + im[b]! * s
        const imaginaryPart = im[b]! * c - re[b]! * s
        re[b] = re[a]! - realPart
        im[b] = im[a]! - imaginaryPart
        re[a]! += realPart
        im[a]! += imaginaryPart
      }
    }
  }
}
