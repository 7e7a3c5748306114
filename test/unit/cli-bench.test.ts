/** What the benches make of their samples, and the table of operators. */
import t from 'tap'
import { soundSamples } from '../../src/cli/bench/measure.js'
import { Output, type OutputStream } from '../../src/cli/output.js'
import { printProfile } from '../../src/cli/profile.js'

function capture(): OutputStream & { text: string } {
  return {
    text: '',
    isTTY: false,
    columns: 80,
    write(piece: string) {
      this.text += piece
      return true
    },
  }
}

t.test('samples count where two threads reach 1.9 times the peak of one', async (t) => {
  const sample = (ratio: number) => ({ roofOne: 500, roof: 500 * ratio, rate: ratio })
  const samples = [2, 1.89, 1.91, 1].map(sample)
  t.same(
    soundSamples(samples, 2).map(({ rate }) => rate),
    [2, 1.91],
  )
  t.same(soundSamples([sample(1.5), sample(1.2)], 2).length, 2, 'when none is sound all count')
  t.same(soundSamples([sample(1), sample(1)], 1).length, 2)
})

t.test('the profile: longest first, shares, what lies around the products', async (t) => {
  const stdout = capture()
  const entries = [
    { op: 'rope', calls: 4, seconds: 0.1 },
    { op: 'lora_linear_forward', calls: 2, seconds: 0.8 },
    { op: 'adamw', calls: 1, seconds: 0.1 },
  ]
  printProfile(new Output({ json: false, stdout, stderr: capture(), environment: {} }), entries)
  t.equal(
    stdout.text,
    [
      'operator             calls     ms   share',
      'lora_linear_forward      2  800.0  80.0 %',
      'rope                     4  100.0  10.0 %',
      'adamw                    1  100.0  10.0 %',
      '20.0 % around the products of matrices',
      '',
    ].join('\n'),
  )
  const json = capture()
  printProfile(new Output({ json: true, stdout: json, stderr: capture(), environment: {} }), entries)
  const event = JSON.parse(json.text)
  t.equal(event.type, 'profile')
  t.ok(Math.abs(event.aroundProducts - 0.2) < 1e-9)
  const silent = capture()
  printProfile(new Output({ json: true, stdout: silent, stderr: silent, environment: {} }), [])
  t.equal(silent.text, '', 'nothing was recorded, nothing is said')
})
