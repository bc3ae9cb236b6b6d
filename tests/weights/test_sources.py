import sys

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
