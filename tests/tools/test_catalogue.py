"""The catalogue: figures compared with published ones, and its tables."""

import json
import pathlib

import pytest
from network_lists import STRUCTURES

from engine.config.jobs import ListJob
from errors import UserError
from nets.nets_factory import NETWORKS
from tools import catalogue

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'catalogue.json'
FIGURES = {
  name: catalogue.Figures(**entry)
  for name, entry in json.loads(GOLDEN.read_text()).items()
}
# Published multiply-adds of one image, in millions: from the papers (for VGG,
# from the layers in its table), TF-Slim's lists of models and, for ResNets v1b,
# torchvision's. Slim's strides save a tenth of the paper's, which are v1a's.
PUBLISHED = {
  'resnet_v1_50': 3482,
  'resnet_v1a_50': 3858,
  'resnet_v1b_18': 1814,
  'resnet_v1b_34': 3664,
  'resnet_v1b_50': 4089,
  'resnet_v1b_101': 7801,
  'resnet_v1b_152': 11_514,
  'mobilenet_v1': 569,
  'mobilenet_v1_075': 325,
  'mobilenet_v1_050': 149,
  'mobilenet_v1_025': 41,
  'mobilenet_v2': 300,
  'mobilenet_v2_140': 582,
  'mobilenet_v2_035': 59,
  'mobilenet_v3_large': 217,
  'mobilenet_v3_small': 57,
  'mobilenet_edgetpu': 990,
  'vgg_16': 15_470,
  'inception_v1': 1_500,
  'inception_v3': 5_720,
  'nasnet_mobile': 564,
  'nasnet_large': 23_800,
  'pnasnet_mobile': 588,
  'pnasnet_large': 25_000,
}
TOLERANCE = 0.01
QUICK = {'lenet', 'cifarnet', 'mobilenet_v1_025'}


def test_every_network_is_in_the_catalogue():
  assert list(FIGURES) == list(NETWORKS), 'run scripts/update_catalogue.py'


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_multiply_adds(name):
  millions = FIGURES[name].multiply_adds / 1e6
  assert millions == pytest.approx(PUBLISHED[name], rel=TOLERANCE)


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in STRUCTURES
  ],
)
def test_figures(name):
  """Compares tests/golden/catalogue.json with the built networks."""
  assert catalogue.figures(NETWORKS[name], ListJob()) == FIGURES[name]


def print_networks(capsys, **options) -> list[str]:
  """The lines that list_networks.py prints."""
  catalogue.print_networks(ListJob(**options), frozenset())
  return capsys.readouterr().out.splitlines()


def test_layers_of_one_network(capsys):
  """ch_at's mlp has 32 channels and ratio 8, and is applied twice."""
  lines = print_networks(
    capsys, model_name='lenet', attention_module='cbam_block'
  )
  assert len({len(line) for line in lines}) == 1
  assert lines[2].split() == (
    ['LeNet/pool1_CBAM/ch_at/mlp_0', '1', 'x', '1', 'x', '4', '132', '256']
  )
  cells = [line.split() for line in lines[1:]]
  for column in (-2, -1):
    numbers = [int(row[column].replace(',', '')) for row in cells]
    assert sum(numbers[:-1]) == numbers[-1]


def test_image_size_and_classes_are_those_of_the_flags(capsys):
  lines = print_networks(
    capsys, model_name='lenet', image_size=32, num_classes=7
  )
  assert lines[1].split()[1:6] == ['32', 'x', '32', 'x', '32']
  assert lines[-2].split()[1] == '7'


def test_all_networks(capsys, monkeypatch):
  few = {name: NETWORKS[name] for name in ('lenet', 'cifarnet')}
  monkeypatch.setattr(catalogue, 'NETWORKS', few)
  header, *lines = print_networks(capsys)
  assert header.split()[0] == 'network'
  figures = FIGURES['lenet']
  assert lines[0].split()[:4] == [
    'lenet',
    '28',
    '10',
    f'{figures.parameters:,}',
  ]
  assert [line.split()[0] for line in lines] == list(few)
  # Numbers end where their headings end.
  end = header.index('parameters') + len('parameters')
  assert {line[end - 1].isdigit() for line in lines} == {True}


def test_attention_adds_parameters(capsys, monkeypatch):
  monkeypatch.setattr(catalogue, 'NETWORKS', {'lenet': NETWORKS['lenet']})
  (_, line) = print_networks(capsys, attention_module='se_block')
  # 2·C·h + h + C for 32 and 64 channels, with ratio 8.
  extra = (2 * 32 * 4 + 4 + 32) + (2 * 64 * 8 + 8 + 64)
  assert line.split()[3] == f'{FIGURES["lenet"].parameters + extra:,}'


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'model_name': 'lenett'},
      "Unknown network 'lenett'. Did you mean 'lenet'",
    ),
    ({'attention_module': 'sse'}, "Unknown attention module 'sse'"),
    ({'attention_placement': 'class'}, 'class without attention'),
    (
      {'model_name': 'overfeat', 'image_size': 99},
      'for overfeat: the minimum is 231',
    ),
    ({'image_size': 99}, '--image_size=99 is too small for alexnet_v2'),
  ],
)
def test_wrong_options_are_refused_before_a_network_is_built(
  monkeypatch, options, message
):
  monkeypatch.delattr(catalogue, 'get_network_fn')
  with pytest.raises(UserError, match=message):
    catalogue.print_networks(ListJob(**options), frozenset())


def test_markdown():
  rows = [('a', '1,234', 'vgg'), ('b', '5', '')]
  assert catalogue.markdown(('network', 'parameters', 'x'), rows) == (
    '| network   |   parameters | x   |\n'
    '|:----------|-------------:|:----|\n'
    '| `a`       |        1,234 | vgg |\n'
    '| `b`       |            5 |     |'
  )
