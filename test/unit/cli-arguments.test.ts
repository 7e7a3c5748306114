import t from 'tap'
import { type Flags, readFlags } from '../../src/cli/arguments.js'

const flags: Flags = {
  model: { type: 'string', value: 'DIR', description: '', required: true },
  format: { type: 'string', description: '', choices: ['alpaca', 'gsm8k'] },
  'max-tokens': { type: 'number', description: '', default: 7 },
  stop: { type: 'string', description: '', multiple: true },
  json: { type: 'boolean', description: '' },
  help: { type: 'boolean', description: '' },
}

t.test('values by kind', async (t) => {
  const values = readFlags('x', ['--model', 'a', '--max-tokens=12', '--stop', 'b', '--stop', 'c', '--json'], flags)
  t.match(values, { model: 'a', 'max-tokens': 12, stop: ['b', 'c'], json: true })
  t.equal(readFlags('x', ['--model', 'a'], flags)['max-tokens'], 7)
  t.equal(readFlags('x', ['--model', '-'], flags).model, '-')
  t.equal(readFlags('x', ['--model', 'a', '--max-tokens', '-3'], flags)['max-tokens'], -3)
  t.equal(readFlags('x', ['--help'], flags).model, undefined, 'help needs nothing')
})

t.test('mistakes are named, with the nearest flag', async (t) => {
  const refused: [string[], RegExp][] = [
    [['--modle', 'a'], /unknown flag --modle; did you mean "--model"\?/],
    [['--model', 'a', '--formt=alpaca'], /did you mean "--format"/],
    [['--model', 'a', '--zzzzzzzz'], /unknown flag --zzzzzzzz; see fedlora x --help/],
    [['--model'], /--model needs a value \(DIR\)/],
    [['--model', '--json'], /--model needs a value/],
    [[], /--model DIR is required/],
    [['--model', 'a', '--model', 'b'], /given twice/],
    [['--model', 'a', '--format', 'gsm8'], /expected one of alpaca, gsm8k; did you mean "gsm8k"/],
    [['--model', 'a', '--max-tokens', 'many'], /got "many", expected a number/],
    [['--model', 'a', '--max-tokens', ' '], /expected a number/],
    [['--model', 'a', '--json=yes'], /takes no value/],
    [['--model', 'a', 'stray'], /"stray" is not a flag/],
  ]
  for (const [words, message] of refused) {
    t.throws(() => readFlags('x', words, flags), { code: 'E_ARGUMENT', message }, words.join(' '))
  }
  t.doesNotThrow(() => readFlags('x', ['--model', 'a'], flags), 'canary: a right command line is not refused')
})

t.test('a word without a flag, where a command takes one', async (t) => {
  const word = { name: 'bench', description: '', choices: ['step', 'load'] }
  t.equal(readFlags('bench', ['load', '--model', 'a'], flags, word).bench, 'load')
  t.throws(() => readFlags('bench', ['stp', '--model', 'a'], flags, word), { message: /did you mean "step"/ })
  t.throws(() => readFlags('bench', ['load', 'step', '--model', 'a'], flags, word), { message: /"step" is not a flag/ })
})
