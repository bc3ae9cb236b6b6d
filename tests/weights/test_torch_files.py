"""Files of PyTorch: no code is run, and refusals say what to do."""

import argparse
import os
import sys
import types

import numpy as np
import pytest
from foreign import FOREIGN, tensors_of

from errors import UserError
from weights import convert, tensor_files, torch_files

SMALL = 'timm:mobilenetv2_035'


@pytest.mark.parametrize(
  ('problem', 'message'),
  [
    (
      'Weights only load failed. … WeightsUnpickler error: Unsupported global: '
      'GLOBAL posix.system was not an allowed global by default.',
      r'needs code besides weights \(posix.system\), which is not run: save the',
    ),
    (
      'Weights only load failed. … WeightsUnpickler error: Unsupported operand '
      '149',
      'holds more than weights',
    ),
    (
      'Cannot use ``weights_only=True`` with TorchScript archives passed to '
      '``torch.load``.',
      'is a program of TorchScript',
    ),
    (
      'PytorchStreamReader failed reading zip archive: failed finding central '
      'directory. This is an internal miniz error.',
      'download was interrupted: PytorchStreamReader failed .* directory.$',
    ),
    ('unexpected EOF, expected 4 more bytes. The', r'interrupted: unexp.* by'),
  ],
)
def test_refusals_of_pytorch_become_a_line_without_its_advice(
  problem, message, tmp_path
):
  text = torch_files._refusal(tmp_path / 'model.pth', problem)
  with pytest.raises(UserError, match=message):
    raise UserError(text)
  assert 'weights_only' not in text
  assert len(text.splitlines()) == 1


@pytest.fixture
def torch():
  return pytest.importorskip('torch')


@pytest.fixture
def state(torch):
  return {
    name: torch.from_numpy(np.array(value))
    for name, value in tensors_of(FOREIGN[SMALL]).items()
  }


@pytest.fixture
def convert_saved(torch, tmp_path):
  """convert_saved(content) -> the conversion of a file that holds it."""

  def convert_saved(content, name='model.pth', **options):
    torch.save(content, tmp_path / name, **options)
    return convert.convert(str(tmp_path / name))

  return convert_saved


def test_checkpoints_of_training_are_read(torch, state, convert_saved):
  plain = convert_saved(state)
  content = {
    'arch': 'mobilenetv2_035',
    'args': argparse.Namespace(lr=0.1),
    'state_dict': {f'module.{name}': value for name, value in state.items()},
    'state_dict_ema': state,
    'optimizer': {'state': {0: {'momentum_buffer': torch.zeros(3)}}},
  }
  for options in ({}, {'_use_new_zipfile_serialization': False}):
    converted = convert_saved(content, 'model.pth.tar', **options)
    for name, value in plain.values.items():
      np.testing.assert_array_equal(converted.values[name], value)
    note = f'{len(state) + 1} arrays of an optimizer'
    assert any(text.startswith(note) for text in converted.notes)


@pytest.mark.parametrize('name', ['float16', 'bfloat16', 'float64'])
def test_other_precisions_are_converted(name, torch, state, convert_saved):
  precision = getattr(torch, name)
  converted = convert_saved({n: v.to(precision) for n, v in state.items()})
  assert {v.dtype for v in converted.values.values()} == {np.dtype('float32')}
  note = f'{len(state)} arrays were converted to float32.'
  assert note in converted.notes


def test_a_pickle_that_wants_code_is_refused(state, convert_saved, tmp_path):
  class Attack:
    def __reduce__(self):
      return os.mkdir, (str(tmp_path / 'attacked'),)

  with pytest.raises(UserError, match=r'needs code .*mkdir\), which is not'):
    convert_saved({'state_dict': state, 'more': Attack()})
  assert not (tmp_path / 'attacked').exists()


def test_a_truncated_download_is_refused(state, convert_saved, tmp_path):
  convert_saved(state)
  path = tmp_path / 'model.pth'
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with pytest.raises(UserError, match='download was interrupted'):
    convert.convert(str(path))


def test_tensors_that_are_not_dense_are_refused(torch, state, convert_saved):
  name = 'blocks.1.0.conv_pw.weight'
  for change, message in (
    (lambda v: v.to_sparse(), 'quantized or sparse'),
    (lambda v: v.to('meta'), 'without values'),
    (lambda v: v.to(torch.float8_e5m2), 'of type torch.float8_e5m2'),
    (lambda v: v.to(torch.int8), 'of int8, as in a quantized network'),
  ):
    with pytest.raises(UserError, match=rf'{name} is {message}'):
      convert_saved(state | {name: change(state[name])})


def test_a_tensor_larger_than_its_file_is_refused(torch, tmp_path):
  path = tmp_path / 'model.pth'
  torch.save({'fc.weight': torch.zeros(1).expand(1 << 40)}, path)
  with pytest.raises(UserError, match='holds 4194304 MB of arrays'):
    tensor_files.read(path)


def test_an_older_pytorch_is_refused_in_a_line(monkeypatch, tmp_path):
  older = types.SimpleNamespace(__version__='2.5.1+cpu')
  monkeypatch.setitem(sys.modules, 'torch', older)
  with pytest.raises(UserError, match=r'^PyTorch 2.5.1\+cpu .*2\.6 or newer\.'):
    torch_files.load(tmp_path / 'model.pth')
