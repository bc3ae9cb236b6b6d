"""The ready-made commands: their flags, usage, and folders with spaces."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
SCRIPTS = sorted([*(ROOT / 'scripts').glob('*.sh'), ROOT / '.ci' / 'run'])
KINDS = [('', []), ('_se_block', ['se_block']), ('_cbam_block', ['cbam_block'])]
MODEL = [
  '--dataset_name=imagenet',
  '--dataset_dir=my data',
  '--model_name=resnet_v1_50',
  '--batch_size=100',
]


@pytest.fixture
def python(machine):
  machine.python('python3', '3.12')
  return machine


@pytest.mark.parametrize(('suffix', 'attention'), KINDS)
def test_train_scripts_run_the_original_command(python, suffix, attention):
  result = python.run(
    f'train_resnet_v1_50{suffix}.sh', 'my data', 'my train', '--seed=1'
  )
  assert result.returncode == 0, result.stderr
  program, *flags = python.logged()
  assert program == f'{python.root}/train_image_classifier.py'
  assert sorted(flags) == sorted(
    [
      *MODEL,
      *(f'--attention_module={name}' for name in attention),
      '--dataset_split_name=train',
      '--train_dir=my train',
      '--seed=1',
    ]
  )


@pytest.mark.parametrize(('suffix', 'attention'), KINDS)
@pytest.mark.parametrize('eval_dir', [[], ['my eval']])
def test_eval_loop_scripts_run_the_original_command(
  python, suffix, attention, eval_dir
):
  folders = ['my data', 'my train', *eval_dir]
  script = f'eval_loop_resnet_v1_50{suffix}.sh'
  result = python.run(script, *folders, '--eval_interval_secs=5')
  assert result.returncode == 0, result.stderr
  program, *flags = python.logged()
  assert program == f'{python.root}/eval_image_classifier_loop.py'
  assert sorted(flags) == sorted(
    [
      *MODEL,
      *(f'--attention_module={name}' for name in attention),
      '--alsologtostderr',
      '--dataset_split_name=validation',
      '--checkpoint_path=my train',
      *(f'--eval_dir={folder}' for folder in eval_dir),
      '--eval_interval_secs=5',
    ]
  )


def test_further_flags_override_those_of_the_script(python):
  python.run('train_resnet_v1_50.sh', 'data', 'train', '--batch_size=8')
  assert python.logged()[-1] == '--batch_size=8'


@pytest.mark.parametrize(
  ('chosen', 'visible'), [({}, '0'), ({'CUDA': '1,2'}, '1,2')]
)
def test_the_first_gpu_is_the_default(machine, chosen, visible):
  machine.tool('python3', '#!/bin/bash\necho "GPU $CUDA_VISIBLE_DEVICES"\n')
  environment = {
    f'{name}_VISIBLE_DEVICES': value for name, value in chosen.items()
  }
  result = machine.run('train_resnet_v1_50.sh', 'd', 't', **environment)
  assert result.stdout == f'GPU {visible}\n'


def test_the_environment_of_the_checkout_precedes_python3(python):
  assert python.run('setup.sh').returncode == 0
  python.logged()
  python.tool('python3', '#!/bin/bash\nexit 1\n')
  assert python.run('run.sh', 'list.py', 'a b').returncode == 0
  assert python.logged() == [f'{python.root}/list.py', 'a b']


def test_a_failing_program_fails_the_script(machine):
  machine.tool('python3', '#!/bin/bash\nexit 2\n')
  assert machine.run('train_resnet_v1_50.sh', 'data', 'train').returncode == 2


def test_convert_passes_its_folders_on(python):
  python.run('convert.sh', 'imagenet', 'my out', 'my photos', '--flag=1')
  assert python.logged() == [
    f'{python.root}/download_and_convert_data.py',
    '--dataset_name=imagenet',
    '--dataset_dir=my out',
    '--source_dir=my photos',
    '--flag=1',
  ]


@pytest.mark.parametrize(
  ('given', 'weights'),
  [
    ([], ['keras:MobileNetV2', 'out/weights']),
    (['timm:resnet50'], ['timm:resnet50', 'out/weights']),
    (['my weights'], ['my weights']),
  ],
)
def test_fine_tune_converts_trains_evaluates_and_reports(
  python, given, weights
):
  folder = python.root.parent
  photos, out = folder / 'my photos', folder / 'my out'
  photos.mkdir()
  result = python.run('fine_tune.sh', photos, out, *given, '--seed=1')
  assert result.returncode == 0, result.stderr
  programs = [line for line in python.logged() if line.endswith('.py')]
  assert [pathlib.Path(line).name for line in programs] == [
    *['import_weights.py'] * (len(weights) == 2),
    'download_and_convert_data.py',
    'train_image_classifier.py',
    'eval_image_classifier.py',
    'report.py',
  ]
  python.run('fine_tune.sh', photos, out, *given, '--seed=1')
  lines = python.logged()
  assert {
    f'--source_dir={photos}', f'--dataset_dir={out}/data',
    f'--train_dir={out}/run', '--recipe=fine_tune', '--seed=1',
    f'--checkpoint_path={out}/run',
  } <= {*lines}  # fmt: skip
  *named, start = weights
  assert any(line.endswith(start) for line in lines)
  assert all(f'--weights={name}' in lines for name in named)


def test_fine_tune_converts_once(python):
  photos, data = python.root.parent / 'photos', python.root.parent / 'out/data'
  photos.mkdir()
  data.mkdir(parents=True)
  (data / 'dataset.json').touch()
  assert python.run('fine_tune.sh', photos, data.parent).returncode == 0
  assert not any(line.endswith('convert_data.py') for line in python.logged())


def test_fine_tune_refuses_other_photos_and_weights(python):
  photos, other = python.root.parent / 'photos', python.root.parent / 'other'
  out = python.root.parent / 'out'
  photos.mkdir()
  other.mkdir()
  assert python.run('fine_tune.sh', photos, out).returncode == 0
  python.logged()
  result = python.run('fine_tune.sh', other, out)
  assert result.returncode == 2
  assert f'was made from {photos}, not {other}' in result.stderr
  result = python.run('fine_tune.sh', photos, out, 'timm:resnet50')
  assert result.returncode == 2
  assert 'was made from keras:MobileNetV2, not timm:resnet50' in result.stderr
  result = python.run('fine_tune.sh', 'none', 'fresh')
  assert result.returncode == 2
  assert 'no folder, archive or list none' in result.stderr
  assert python.logged() == []


@pytest.mark.parametrize(
  ('script', 'arguments'),
  [
    *(
      (f'{job}_resnet_v1_50{suffix}.sh', arguments)
      for job in ('train', 'eval_loop')
      for suffix, _ in KINDS
      for arguments in ([], ['data'], ['data', '--seed=1'])
    ),
    ('convert.sh', ['digits']),
    ('fine_tune.sh', ['photos', '--seed=1']),
    ('run.sh', []),
    ('quickstart.sh', ['--help']),
  ],
)
def test_missing_arguments_print_the_usage(python, script, arguments):
  result = python.run(script, *arguments)
  assert result.returncode == 2
  assert result.stderr.startswith('usage: bash ')
  assert script in result.stderr
  assert python.logged() == []


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_scripts_stop_at_the_first_error(script):
  assert os.access(script, os.X_OK)
  assert '\nset -euo pipefail\n' in script.read_text()
  subprocess.run(['bash', '-n', script], check=True)
