"""Variants, seeds and options of a comparison."""

import pytest

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
    UserError, match=r'comparison\.json does not contain the options'
  ):
    compare()
  (tmp_path / 'runs' / 'model.ckpt-3.index').touch()
  with pytest.raises(UserError, match='checkpoints of a single run'):
    compare()


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
