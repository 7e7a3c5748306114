/** Where the CUDA library is looked for. */
import t from 'tap'
import { placesOn } from '../../src/native/cuda-places.js'

const machine = {
  platform: 'linux',
  arch: 'x64',
  named: undefined,
  own: ['/p/build/Release', '/p/prebuilds/linux-x64'],
  installed: undefined,
}

t.test('a build of one’s own, beside the addon, the package', async (t) => {
  const own = ['/p/build/Release/libfedlora_cuda.so', '/p/prebuilds/linux-x64/libfedlora_cuda.so']
  t.same(placesOn(machine), [...own, '@fedlora/cuda-linux-x64'], 'a package that is not installed is told by its name')
  t.same(placesOn({ ...machine, installed: '/n/@fedlora/cuda-linux-x64' }), [
    ...own,
    '/n/@fedlora/cuda-linux-x64/libfedlora_cuda.so',
  ])
  t.equal(placesOn({ ...machine, own: ['/a', '/a'] }).length, 2, 'no place twice')
})

t.test('FEDLORA_CUDA is the only place', async (t) => {
  t.same(placesOn({ ...machine, named: '/opt/mine.so', installed: '/n' }), ['/opt/mine.so'])
  t.same(placesOn({ ...machine, named: '' }), placesOn(machine), 'an empty one counts as none')
})

t.test('none where there is no such library', async (t) => {
  for (const other of [{ platform: 'darwin' }, { arch: 'arm64' }, { platform: 'win32' }]) {
    t.same(placesOn({ ...machine, named: '/opt/mine.so', ...other }), [], JSON.stringify(other))
  }
})
