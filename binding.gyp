# For tooling that calls node-gyp: hands over to the one build description, CMakeLists.txt. Not part of the published package,
# because npm runs node-gyp on its own for every package with a binding.gyp.
{
  'targets': [
    {
      'target_name': 'fedlora',
      'type': 'none',
      'actions': [
        {
          'action_name': 'cmake',
          'inputs': ['CMakeLists.txt', 'scripts/build-native.mjs'],
          'outputs': ['<(PRODUCT_DIR)/fedlora.node'],
          'action': ['node', 'scripts/build-native.mjs', '--dest', '<(PRODUCT_DIR)'],
        },
      ],
    },
  ],
}
