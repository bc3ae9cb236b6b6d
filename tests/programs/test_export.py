"""export_model.py as a command: what it refuses, and what a kill leaves."""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
from original_files import photo_bytes

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def exported(server, trained):
  """A folder with the run `train` and its export `out`; copy it to change it."""
  process = server.start(
    'export', cwd=trained, checkpoint_path='train', output_dir='out',
    quantize='float16', num_images=8,
  )  # fmt: skip
  assert process.wait() == 0, process.stderr
  return trained


def test_the_model_is_complete(exported):
  out = exported / 'out'
  assert {path.name for path in out.iterdir()} == {
    'saved_model', 'model.tflite', 'model_float16.tflite', 'model.onnx',
    'export.json', 'README.md',
  }  # fmt: skip
  names = json.loads((out / 'export.json').read_text())['class_names']
  assert len(names) == 10
  served = out / 'saved_model' / '4'
  assert (served / 'assets.extra/labels.txt').read_text().split() == names
  # Nothing is left beside it.
  assert not [path for path in exported.iterdir() if '.out' in path.name]


def test_the_code_of_the_card_runs(exported, tmp_path):
  out = shutil.copytree(exported / 'out', tmp_path / 'out')
  (out / 'photo.jpg').write_bytes(photo_bytes('JPEG', seed=0))
  blocks = re.findall(
    r'```python\n(.*?)```', (out / 'README.md').read_text(), re.S
  )
  assert len(blocks) == 4
  result = subprocess.run(
    [sys.executable, '-I', '-c', '\n'.join(blocks)], cwd=out,
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert result.returncode == 0, result.stderr


def test_predict_takes_each_model(server, exported, tmp_path):
  forms = 'JPEG', 'PNG', 'WEBP'
  for number, form in enumerate(forms):
    data = photo_bytes(form, seed=number)
    (tmp_path / f'{number}.{form.lower()}').write_bytes(data)
  models = (
    'train',
    'out',
    'out/saved_model',
    'out/model.tflite',
    'out/model.onnx',
  )
  tables = []
  for number, model in enumerate(models):
    output = tmp_path / f'{number}.json'
    process = server.start(
      'predict', cwd=exported, checkpoint_path=model, images=tmp_path,
      output=output, batch_size=2,
    )  # fmt: skip
    assert process.wait() == 0, process.stderr
    tables.append(json.loads(output.read_text()))
  expected, *others = tables
  assert len(expected) == len(forms)
  for table in others:
    for row, other in zip(expected, table, strict=True):
      assert other == pytest.approx(row, abs=2e-6)


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (
      {'checkpoint_path': 'model.onnx'},
      r'model.onnx has no export.json beside',
    ),
    ({'embeddings': 'a.npz'}, r'--embeddings needs a checkpoint'),
    ({'model_name': 'lenet'}, r'--model_name has no effect on the exported'),
  ],
)
def test_predict_refuses_what_an_exported_model_lacks(
  server, exported, tmp_path, flags, message
):
  shutil.copy(exported / 'out/model.onnx', tmp_path)
  (tmp_path / 'photo.png').write_bytes(photo_bytes('PNG', seed=0))
  options = {
    'checkpoint_path': exported / 'out',
    'images': 'photo.png',
    **flags,
  }
  process = server.start('predict', cwd=tmp_path, **options)
  assert process.wait() == 2, process.stderr
  assert re.search(message, process.stderr)


def test_another_model_is_replaced_only_if_that_is_wanted(
  server, exported, tmp_path
):
  shutil.copytree(exported / 'out', tmp_path / 'out')

  def run(*flags):
    return server.start(
      'export', *flags, cwd=tmp_path, checkpoint_path=exported / 'train',
      output_dir='out', formats='saved_model', num_images=4,
    )  # fmt: skip

  assert '--overwrite to replace it' in run().error
  assert (tmp_path / 'out/model.onnx').exists()
  process = run('--overwrite')
  assert process.wait() == 0, process.stderr
  assert not (tmp_path / 'out/model.onnx').exists()


@pytest.mark.parametrize('moment', ['Exporting', 'model_int8.tflite: '])
def test_a_kill_leaves_no_half_export(server, trained, tmp_path, moment):
  process = server.start(
    'export', cwd=tmp_path, checkpoint_path=trained / 'train',
    output_dir='out', num_images=4, quantize='int8', calibration_images=4,
    max_accuracy_loss=1,
  )  # fmt: skip
  process.wait_for(re.escape(moment))
  process.signal(signal.SIGKILL)
  process.wait()
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ({'output_dir': None}, r'--output_dir is required'),
    ({'output_dir': 'train'}, r'train holds files of something else'),
    ({'formats': 'tflit'}, r"'tflit'.*tflite"),
    ({'formats': ','}, r'--formats is empty'),
    ({'quantize': 'float16', 'formats': 'onnx'}, r'float16 needs tflite in'),
    ({'quantize': 'int4'}, r'int4.*float16, int8'),
    ({'checkpoint_path': 'nowhere'}, r'No checkpoint nowhere'),
    (
      {'checkpoint_path': 'bare'},
      r'bare has no job.json: set --model_name, --dataset_name, --dataset_dir',
    ),
  ],
)
def test_wrong_input_is_refused(server, trained, tmp_path, flags, message):
  shutil.copytree(trained / 'train', tmp_path / 'train')
  shutil.copytree(trained / 'train', tmp_path / 'bare')
  (tmp_path / 'bare/job.json').unlink()
  options = {'checkpoint_path': 'train', 'output_dir': 'out', **flags}
  process = server.start('export', cwd=tmp_path, **options)
  assert process.wait() == 2, process.stderr
  assert re.search(message, process.stderr)
  assert not (tmp_path / 'out').exists()
