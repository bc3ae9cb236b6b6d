"""Variants, seeds and options of a comparison."""

import json
import shutil

import pytest

from engine.config.jobs import CompareJob
from errors import UserError
from tools.comparison import plan


@pytest.mark.usefixtures('programs')
def test_a_changed_comparison_needs_another_folder(compare, tmp_path):
  compare(seeds='1', attention_modules='none')
  for options in ({'learning_rate': 0.1}, {'batch_size': 64}):
    (name,) = options
    with pytest.raises(UserError, match=rf'started with --{name}=.*another'):
      compare(**options)
  (tmp_path / 'runs' / 'comparison.json').write_text('{')
  with pytest.raises(
    UserError, match=r'comparison\.json is not JSON.*another --train_dir'
  ):
    compare()
  (tmp_path / 'runs' / 'model.ckpt-3.index').touch()
  with pytest.raises(UserError, match='checkpoints of a single run'):
    compare()


@pytest.mark.usefixtures('programs')
def test_a_comparison_goes_on_where_its_data_have_moved(
  compare, digits, tmp_path
):
  data = tmp_path / 'data'
  shutil.copytree(digits, data)
  compare(seeds='1', attention_modules='none', dataset_dir=str(data))
  with pytest.raises(UserError, match='started with --dataset_dir='):
    compare(seeds='1', attention_modules='none')
  data.rename(tmp_path / 'moved')
  compare(
    seeds='1,2',
    attention_modules='none',
    dataset_dir=str(tmp_path / 'moved'),
    eval_batch_size=7,
  )
  log = (tmp_path / 'programs' / 'log').read_text().splitlines()
  program, flags = json.loads(log[-1])
  assert program == 'eval_image_classifier.py'
  assert flags['dataset_dir'] == str(tmp_path / 'moved')
  assert flags['batch_size'] == '7'


@pytest.mark.parametrize(
  ('path', 'absolute'),
  [
    ('keras:MobileNetV2', 'keras:MobileNetV2'),
    ('my/run', '/home/ann/my/run'),
    ('/runs/model.ckpt-3', '/runs/model.ckpt-3'),
  ],
)
def test_names_of_weights_are_no_paths(path, absolute, monkeypatch):
  monkeypatch.setattr('os.getcwd', lambda: '/home/ann')
  assert plan._absolute(path) == absolute


@pytest.mark.parametrize(
  ('text', 'names'),
  [
    ('none', ['none']),
    (
      " ; none;cbam_block( ratio = 16 ); se_block(ratio=8)@block;",
      ['none', 'cbam_block(ratio=16)', 'se_block'],
    ),
    ('se_block@class;se_block', ['se_block@class', 'se_block']),
    ('cbam_block(ratio=4, kernel_size=3)@both',
     ['cbam_block(ratio=4, kernel_size=3)@both']),
  ],
)  # fmt: skip
def test_equal_variants_have_equal_names(text, names):
  variants = plan.parse_variants(text)
  assert [variant.name for variant in variants] == names
  assert all(variant.folder.isprintable() for variant in variants)
  assert not any(set(variant.folder) & set("()@'; ,/") for variant in variants)


@pytest.mark.parametrize(
  'text', ['none;none', 'se_block;se_block(ratio=8)', 'se_block@block;se_block']
)
def test_repeated_variants_are_refused(text):
  with pytest.raises(UserError, match='twice'):
    plan.parse_variants(text)


def test_no_attention_takes_no_placement():
  with pytest.raises(
    UserError, match="'none@class': 'none' takes no placement"
  ):
    plan.parse_variants('none@class')


def test_a_folder_name_for_each_variant():
  (variant,) = plan.parse_variants('cbam_block(ratio=16)@class')
  assert variant.folder == 'cbam_block_ratio=16_class'


def test_seeds_of_too_many_digits_are_refused():
  with pytest.raises(UserError, match=r'--seeds=9{80}: must be different'):
    plan.parse_seeds('9' * 5000)


@pytest.mark.parametrize(
  ('options', 'problem'),
  [
    ({'batch_size': 'many'}, 'has "many" for options.batch_size'),
    ({'seeds': 3}, 'has 3 for options.seeds, not valid text'),
    ({'learning_rate': float('inf')}, 'has Infinity for options.learning_rate'),
    ({'optimizer': 'nonsense'}, "comparison.json: Unknown --optimizer 'nonsen"),
    (
      {'dataset_dir': '/theirs/digits'},
      'names --dataset_dir=/theirs/digits, which is not on this machine',
    ),
  ],
)
def test_a_damaged_value_in_comparison_json_is_named(
  tmp_path, options, problem
):
  path = tmp_path / 'comparison.json'
  path.write_text(json.dumps({'options': options}))
  with pytest.raises(UserError, match=problem):
    plan.complete_job(CompareJob(train_dir=str(tmp_path)), {'train_dir'})


@pytest.mark.usefixtures('programs')
def test_a_damaged_result_of_a_run_is_said_and_made_again(
  compare, logged, tmp_path, capsys
):
  compare(seeds='1', attention_modules='none')
  (path,) = (tmp_path / 'runs').rglob('results.json')
  logged()
  path.write_text('{"global_step": 50, "split": "test", "metrics": {')
  compare(seeds='1', attention_modules='none')
  assert [program for program, _ in logged()] == ['eval_image_classifier.py']
  assert 'results.json is not JSON' in capsys.readouterr().err


@pytest.mark.usefixtures('programs')
@pytest.mark.parametrize('text', ['', '{"reason": 3}', '[1]'])
def test_a_damaged_finished_json_of_a_run_is_refused(compare, tmp_path, text):
  compare(seeds='1', attention_modules='none')
  (path,) = (tmp_path / 'runs').rglob('finished.json')
  path.write_text(text)
  with pytest.raises(UserError, match=r'finished\.json .*Delete it'):
    compare(seeds='1', attention_modules='none')
