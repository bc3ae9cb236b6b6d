import logging
import sys
import types

import pytest

from errors import UserError
from weights import sources


@pytest.mark.parametrize(
  ('text', 'named'),
  [
    ('MobileNetV2', 'keras:MobileNetV2'),
    ('torchvision:resnet18', 'timm:resnet18'),
    ('inception_v3_2016', 'slim:inception_v3_2016_08_28'),
    ('no such file.h5', 'keras:MobileNetV2, timm:resnet50.a1_in1k, slim:'),
  ],
)
def test_a_file_that_is_missing_names_what_was_meant(text, named):
  with pytest.raises(UserError, match='No file') as error:
    sources.fetch(text)
  assert named in str(error.value)


def test_an_unknown_name_of_timm_needs_no_package(monkeypatch):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(UserError, match=r"'resnet5'. Did you mean 'resnet50'"):
    sources.fetch('timm:resnet5.a1_in1k')
  with pytest.raises(UserError, match="needs the extra 'weights'"):
    sources.fetch('timm:resnet50.a1_in1k')


@pytest.mark.parametrize('name', ['resnet18.a1_in1k', 'resnet18'])
def test_the_hub_fills_the_cache_or_the_message_says_where(
  name, tmp_path, monkeypatch
):
  """A stand-in for huggingface_hub, first without a network."""
  monkeypatch.setenv('SLIM_CACHE', str(tmp_path))
  hub = types.ModuleType('huggingface_hub')
  requests = []

  def offline(repository, file, local_dir):
    assert not logging.getLogger('httpx').isEnabledFor(logging.WARNING)
    raise OSError('no network\nmore')

  def download(repository, file, local_dir):
    requests.append((repository, file))
    local_dir.mkdir(parents=True, exist_ok=True)
    (local_dir / file).touch()

  monkeypatch.setitem(sys.modules, 'huggingface_hub', hub)
  hub.hf_hub_download = offline
  folder = tmp_path / 'timm' / name
  message = rf'{name} from huggingface.co: no network. Try .* into {folder}\.'
  with pytest.raises(UserError, match=message) as error:
    sources.fetch(f'timm:{name}')
  assert ('have a tag' in str(error.value)) == ('.' not in name)
  assert logging.getLogger('httpx').isEnabledFor(logging.WARNING)
  hub.hf_hub_download = download
  path = folder / 'model.safetensors'
  assert sources.fetch(f'timm:{name}') == path
  assert sources.fetch(f'timm:{name}') == path
  files = 'config.json', 'model.safetensors'
  assert requests == [(f'timm/{name}', file) for file in files]


def test_a_network_of_timm_that_is_not_ours_is_refused_before_a_download(
  tmp_path, monkeypatch
):
  """Even if it is in the cache, and has the arrays of one of ours."""
  monkeypatch.setenv('SLIM_CACHE', str(tmp_path))
  folder = tmp_path / 'timm' / 'resnetblur50.bt_in1k'
  folder.mkdir(parents=True)
  (folder / 'model.safetensors').touch()
  with pytest.raises(UserError, match="network of timm 'resnetblur50'"):
    sources.fetch('timm:resnetblur50.bt_in1k')
