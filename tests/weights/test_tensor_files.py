"""Files of weights that are damaged, ambiguous, too large or hostile."""

import json
import zipfile

import h5py
import numpy as np
import pytest
import safetensors.numpy

from errors import UserError
from weights import tensor_files, torch_files

CONFIG = {
  'config': {
    'layers': [
      {'class_name': 'InputLayer', 'config': {'batch_shape': [None, 96, 96, 3]}}
    ]
  }
}


@pytest.fixture
def keras_file(tmp_path):
  """Returns a function that writes arrays and a configuration as .h5."""

  def write(config=None, **arrays):
    path = tmp_path / 'model.h5'
    with h5py.File(path, 'w') as file:
      file['conv1/kernel'] = np.ones((1, 1, 3, 2), np.float32)
      for name, array in arrays.items():
        file[name] = array
      if config is not None:
        file.attrs['model_config'] = config
    return path

  return write


@pytest.mark.parametrize(
  ('config', 'facts'),
  [
    (json.dumps(CONFIG), {'image_size': 96}),
    (json.dumps(CONFIG).replace('96, 96', '96, 64'), {}),
    (json.dumps(CONFIG).replace('96', 'null'), {}),
    # An old Keras listed the layers of a Sequential model so.
    ('{"class_name": "Sequential", "config": [{"class_name": "Dense"}]}', {}),
    ('{"config": {"layers": [3, {"config": null}]}}', {}),
    ('null', {}),
  ],
)
def test_configurations_of_any_form_are_read(config, facts, keras_file):
  assert tensor_files.read(keras_file(config)).facts == facts


@pytest.mark.parametrize('config', ['[' * 100_000, '{', 3, h5py.Empty('f')])
def test_a_damaged_configuration_is_refused(config, keras_file):
  with pytest.raises(UserError, match=r'model.h5 is not a Keras file'):
    tensor_files.read(keras_file(config))


def test_a_keras_archive_without_configuration_is_refused(tmp_path):
  path = tmp_path / 'model.keras'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('model.weights.h5', b'')
  with pytest.raises(UserError, match=r"no item named 'config.json'"):
    tensor_files.read(path)


def test_an_array_of_text_is_refused(keras_file):
  with pytest.raises(UserError, match='/dense/bias is not an array of numbers'):
    tensor_files.read(keras_file(**{'dense/bias': 'text'}))


def test_an_array_in_another_file_is_refused(tmp_path, keras_file):
  path = keras_file()
  (tmp_path / 'secret').write_bytes(bytes(8))
  with h5py.File(path, 'a') as file:
    external = [(str(tmp_path / 'secret'), 0, 8)]
    file.create_dataset('dense/bias', (2,), 'f4', external=external)
  with pytest.raises(UserError, match='/dense/bias is stored in another file'):
    tensor_files.read(path)


def test_numbered_arrays_of_another_layout_are_refused(keras_file):
  with pytest.raises(UserError, match='is not a Keras file'):
    tensor_files.read(keras_file(**{'layers/conv/vars/7': np.ones(2, 'f')}))


def test_two_layers_of_one_name_are_refused(keras_file):
  """Two models in one file would overwrite each other's arrays."""
  path = keras_file(**{'other/conv1/kernel': np.zeros((1, 1, 3, 2), 'f')})
  with pytest.raises(UserError, match='/conv1/kernel and /other/conv1/kernel'):
    tensor_files.read(path)


def test_a_layer_and_its_wrapped_copy_are_refused(tmp_path):
  path = tmp_path / 'model.safetensors'
  tensor = np.ones(2, np.float32)
  safetensors.numpy.save_file(
    {'fc.bias': tensor, 'model.fc.bias': tensor}, path
  )
  with pytest.raises(UserError, match=r'fc\.bias and (model\.)?fc\.bias'):
    tensor_files.read(path)


def test_an_unknown_type_is_named(tmp_path):
  path = tmp_path / 'model.safetensors'
  entry = {'dtype': 'F8_E4M3', 'shape': [2], 'data_offsets': [0, 2]}
  header = json.dumps({'fc.bias': entry}).encode()
  path.write_bytes(len(header).to_bytes(8, 'little') + header + bytes(2))
  with pytest.raises(UserError, match='F8_E4M3'):
    tensor_files.read(path)


def test_one_of_several_files_is_refused(tmp_path):
  path = tmp_path / 'model-00001-of-00002.safetensors'
  path.touch()
  with pytest.raises(UserError, match='one of several files'):
    tensor_files.read(path)


def test_a_model_larger_than_memory_is_refused(
  tmp_path, keras_file, monkeypatch
):
  monkeypatch.setattr(tensor_files, '_available_memory', lambda: 20 << 20)
  large = np.zeros((1, 1, 1 << 10, 2 << 10), np.float32)
  path = tmp_path / 'model.safetensors'
  safetensors.numpy.save_file({'conv.weight': large}, path)
  message = '8 MB of arrays, for which 24 MB of memory'
  with pytest.raises(UserError, match=message):
    tensor_files.read(path)
  with pytest.raises(UserError, match=message):
    tensor_files.read(keras_file(**{'large/kernel': large}))


def test_the_state_dict_in_a_checkpoint_of_training_is_found():
  state = {'fc.weight': 1.0, 'fc.bias': 2.0}
  content = {
    'epoch': 3,
    'state_dict': state,
    'state_dict_ema': {'fc.weight': 4.0},
    'optimizer': {
      'state': {0: {'exp_avg': 5.0}},
      'param_groups': [{'lr': 6.0}],
    },
  }
  assert torch_files.state_dict(content) == state
  assert torch_files.count(content, float) == 5
  assert torch_files.state_dict([1, 2]) == {}


@pytest.mark.parametrize(
  ('ending', 'renamed'), [('.keras', '.h5'), ('.h5', '.keras')]
)
def test_a_file_of_keras_is_read_whatever_its_ending(tmp_path, ending, renamed):
  with h5py.File(tmp_path / 'plain.h5', 'w') as file:
    file['predictions/kernel'] = np.ones((2, 3), np.float32)
  if ending == '.keras':
    with zipfile.ZipFile(tmp_path / 'plain.keras', 'w') as archive:
      archive.writestr('config.json', '{}')
      archive.write(tmp_path / 'plain.h5', 'model.weights.h5')
  path = (tmp_path / f'plain{ending}').rename(tmp_path / f'weights{renamed}')
  kernel = tensor_files.read(path).modules['predictions']['kernel']
  assert kernel.shape == (2, 3)
