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
