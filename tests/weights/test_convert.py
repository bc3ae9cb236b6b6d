"""Files of weights that are of another kind, damaged, or of another network."""

import gzip
import io
import json
import pathlib
import tarfile
import zlib

import numpy as np
import pytest
import safetensors.numpy
from foreign import FOREIGN, tensors_of

from engine.checkpoints import store
from errors import UserError
from nets import nets_factory
from tf_compat import slim, tf
from weights import convert, sources, tensor_files, translation

SMALL = 'timm:mobilenetv2_035'


@pytest.fixture(scope='module')
def tensors() -> dict[str, np.ndarray]:
  """A state dict of the smallest network."""
  return tensors_of(FOREIGN[SMALL])


@pytest.fixture
def save(tmp_path):
  """save(tensors) -> the path of a .safetensors file."""

  def save(tensors) -> str:
    path = tmp_path / 'model.safetensors'
    safetensors.numpy.save_file(tensors, path)
    return str(path)

  return save


def test_an_optimizer_and_averages_are_left_out_and_counted(tensors, save):
  beside = {
    'optimizer.state.0': np.zeros(3, np.float32),
    'ema.classifier.bias': np.zeros(10, np.float32),
  }
  path = save({f'module.{n}': v for n, v in tensors.items()} | beside)
  converted = convert.convert(path)
  assert converted.network == 'mobilenet_v2_035'
  assert converted.padding == 'symmetric'
  assert any(
    note.startswith('2 arrays of an optim') for note in converted.notes
  )


def test_half_precision_becomes_float32_and_is_said(tensors, save):
  path = save({n: v.astype(np.float16) for n, v in tensors.items()})
  converted = convert.convert(path)
  assert {v.dtype for v in converted.values.values()} == {np.dtype('float32')}
  assert any('converted to float32' in note for note in converted.notes)


def test_bfloat16_is_read(tmp_path):
  path = tmp_path / 'model.safetensors'
  # The upper halves of the float32 values 1.5 and -2.
  data = bytes([0xC0, 0x3F, 0x00, 0xC0])
  entry = {'dtype': 'BF16', 'shape': [1, 2], 'data_offsets': [0, len(data)]}
  header = json.dumps({'fc.weight': entry}).encode()
  path.write_bytes(len(header).to_bytes(8, 'little') + header + data)
  weights = tensor_files.read(path)
  np.testing.assert_array_equal(
    weights.modules['fc']['kernel'], [[1.5], [-2.0]]
  )


def test_a_classifier_of_another_name_is_found(tensors, save):
  renamed = {n.replace('classifier.', 'head.'): v for n, v in tensors.items()}
  assert convert.convert(save(renamed)).num_classes == 10


def test_a_near_network_is_refused_with_the_tensors_that_differ(tensors, save):
  changed = dict(tensors)
  name = 'blocks.1.0.conv_pw.weight'
  changed[name] = changed[name][:-8]
  with pytest.raises(UserError) as error:
    convert.convert(save(changed))
  message = str(error.value)
  assert 'mobilenet_v2_035, the nearest network' in message
  assert f'{name} is [1, 1, ' in message
  assert len(message.splitlines()) == 1


def test_a_missing_and_a_left_over_layer_are_named(tensors, save):
  changed = dict(tensors)
  changed['blocks.1.0.conv_xy.weight'] = changed.pop(
    'blocks.1.0.conv_pw.weight'
  )
  with pytest.raises(UserError, match=r'conv_pw.* is missing.*conv_xy.* left'):
    convert.convert(save(changed))


def test_weights_without_their_top_are_refused(tensors, save):
  headless = {
    n: v for n, v in tensors.items() if not n.startswith('classifier')
  }
  with pytest.raises(UserError, match='weights with their top'):
    convert.convert(save(headless))


def test_a_single_logit_is_refused(tensors, save):
  single = {
    n: v[:1] if n.startswith('classifier') else v for n, v in tensors.items()
  }
  with pytest.raises(UserError, match='computes a single logit'):
    convert.convert(save(single))


def test_another_network_than_that_of_the_weights_is_refused(tensors, save):
  with pytest.raises(UserError, match=r'--model_name=mobilenet_v2_035'):
    convert.convert(save(tensors), 'mobilenet_v2')


def test_values_that_are_not_finite_are_refused(tensors, save):
  changed = {n: v.copy() for n, v in tensors.items()}
  changed['classifier.bias'][0] = np.nan
  with pytest.raises(UserError, match=r'classifier.bias .*not finite'):
    convert.convert(save(changed))


@pytest.mark.parametrize('ending', ['.h5', '.keras', '.safetensors', '.tar.gz'])
def test_a_truncated_download_is_refused(ending, tmp_path, tensors, save):
  path = tmp_path / f'weights{ending}'
  whole = pathlib.Path(save(tensors)).read_bytes()
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(UserError, match='download was interrupted'):
    convert.convert(str(path), 'mobilenet_v1' if 'tar' in ending else None)


def test_a_pickle_is_never_loaded_as_code(tmp_path):
  import pickle

  class Attack:
    def __reduce__(self):
      return (open, (str(tmp_path / 'attacked'), 'w'))

  path = tmp_path / 'model.pth'
  path.write_bytes(pickle.dumps(Attack()))
  with pytest.raises(UserError, match=r'PyTorch'):
    convert.convert(str(path))
  assert not (tmp_path / 'attacked').exists()


def test_an_array_that_claims_more_than_is_stored_is_refused(tmp_path):
  import h5py

  path = tmp_path / 'bomb.h5'
  with h5py.File(path, 'w') as file:
    file.create_dataset('conv1/kernel', (1 << 40,), 'f4', chunks=(1024,))
  with pytest.raises(UserError, match='claims 4398046511104 bytes'):
    convert.convert(str(path))


def test_a_link_to_another_file_is_refused(tmp_path):
  import h5py

  path = tmp_path / 'link.h5'
  with h5py.File(path, 'w') as file:
    file['conv1'] = h5py.ExternalLink('/etc/passwd', '/x')
  with pytest.raises(UserError, match='conv1 is a link'):
    convert.convert(str(path))


def archive(path: pathlib.Path, names: list[str]) -> pathlib.Path:
  """Writes an archive of files."""
  with tarfile.open(path, 'w:gz') as file:
    for name in names:
      content = ' '.join(map(str, range(2000))).encode()
      member = tarfile.TarInfo(name)
      member.size = len(content)
      file.addfile(member, io.BytesIO(content))
  return path


@pytest.mark.parametrize(
  ('names', 'message'),
  [
    (['photo.jpg'], 'holds no checkpoint of TF-Slim'),
    (['a.ckpt', 'b/b.ckpt.index'], r'holds 2 checkpoints \(a.ckpt, b.ckpt\)'),
    (['a.ckpt'], r'a.tgz is not a checkpoint, or is damaged'),
  ],
)
def test_archives_of_another_content_are_refused(names, message, tmp_path):
  path = archive(tmp_path / 'a.tgz', names)
  with pytest.raises(UserError, match=message):
    convert.convert(str(path), 'lenet')


def test_a_damaged_archive_is_refused(tmp_path):
  path = archive(tmp_path / 'a.tar.gz', ['a.ckpt'])
  start = gzip.decompress(path.read_bytes())[:1024]
  deflate = zlib.compressobj(wbits=31)
  start = deflate.compress(start) + deflate.flush(zlib.Z_FULL_FLUSH)
  path.write_bytes(start + b'\xff' * 100)  # no type of block
  with pytest.raises(UserError, match='download was interrupted'):
    convert.convert(str(path), 'lenet')
  path.write_bytes(gzip.compress(b'no tar archive'))
  with pytest.raises(UserError, match='is not a tar archive'):
    convert.convert(str(path), 'lenet')


@pytest.fixture(scope='module')
def lenet() -> dict[str, np.ndarray]:
  """Values of LeNet's variables for ImageNet's 1001 labels."""
  return lenet_values()


def lenet_values(attention: str | None = None) -> dict[str, np.ndarray]:
  with tf.Graph().as_default():
    network_fn = nets_factory.get_network_fn(
      'lenet', 1001, is_training=True, attention_module=attention
    )
    size = network_fn.default_image_size
    network_fn(tf.placeholder(tf.float32, [2, size, size, 3]))
    rng = np.random.default_rng(0)
    return {
      v.op.name: rng.normal(size=v.shape.as_list()).astype(np.float32)
      for v in slim.get_model_variables()
    }


def test_the_checkpoint_in_an_archive_is_converted(lenet, tmp_path):
  name = 'LeNet/fc4/biases'
  beside = {
    f'{name}/Momentum': np.zeros(1001, np.float32),
    f'{name}/ExponentialMovingAverage': np.zeros(1001, np.float32),
    'note': np.array(b'text'),
  }
  folder = tmp_path / 'folder'
  folder.mkdir()
  checkpoint = store.write(lenet | beside, folder, step=7)
  path = tmp_path / 'lenet.tgz'
  with tarfile.open(path, 'w:gz') as file:
    file.add(folder, 'lenet')
  for source in (str(path), checkpoint, f'{checkpoint}.index'):
    converted = convert.convert(source, 'lenet')
    assert converted.num_classes == 1001
    assert converted.notes == ('4 tensors besides the weights were left out.',)
    assert {*converted.values} == {*lenet}
    for name, value in lenet.items():
      np.testing.assert_array_equal(converted.values[name], value)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'LeNet/fc3/biases': None}, 'LeNet/fc3/biases is missing'),
    ({'LeNet/fc3/biases': 7}, r'LeNet/fc3/biases is \[7\], not \['),
    ({'LeNet/fc4/biases': 5}, 'no logits of 1000 or 1001 classes'),
  ],
)
def test_a_checkpoint_of_another_network_is_refused(
  change, message, lenet, tmp_path
):
  changed = dict(lenet)
  for name, size in change.items():
    del changed[name]
    if size:
      changed[name] = np.zeros(size, np.float32)
  checkpoint = store.write(changed, tmp_path, step=0)
  with pytest.raises(UserError, match=message):
    convert.convert(checkpoint, 'lenet')


def test_a_checkpoint_with_attention_is_not_imported_without(tmp_path):
  values = lenet_values('cbam_block(ratio=4)')
  folder = tmp_path / 'run'
  folder.mkdir()
  checkpoint = store.write(values, folder, step=0)
  remedy = r"pass it by --checkpoint_path, with .*='cbam_block\(ratio=4\)'"
  with pytest.raises(UserError, match=f'drop: {remedy}'):
    convert.convert(checkpoint, 'lenet')
  archive = tmp_path / 'run.tar'
  with tarfile.open(archive, 'w') as file:
    file.add(folder, 'run')
  with pytest.raises(UserError, match=f'drop: unpack it, and {remedy}'):
    convert.convert(str(archive), 'lenet')


@pytest.mark.parametrize('stored', [None, (3, 3)])
def test_an_auxiliary_classifier_that_does_not_fit_has_initial_values(stored):
  """As for images of another size than those of the training."""
  name, shape = 'Net/AuxLogits/weights', (2, 2)
  initial = {name: np.ones(shape, np.float32)}
  network = translation.Network(
    [
      translation.Variable(key, 'Net/', '', 'weights', shape)
      for key in ('Net/weights', name)
    ],
    initial,
    {},
  )
  tensors = {'Net/weights': np.zeros(shape)}
  if stored:
    tensors[name] = np.zeros(stored)
  values, added = convert._select('x.ckpt', tensors, 'net', network)
  assert values.keys() == {'Net/weights'}
  assert added == initial
  tensors[name] = np.zeros(shape)
  values, added = convert._select('x.ckpt', tensors, 'net', network)
  assert (values.keys(), added) == (tensors.keys(), {})


def test_a_checkpoint_larger_than_memory_is_refused(
  lenet, tmp_path, monkeypatch
):
  checkpoint = store.write(lenet, tmp_path, step=0)
  monkeypatch.setattr(tensor_files, '_available_memory', lambda: 1 << 20)
  with pytest.raises(UserError, match=r'MB of memory are needed and 1 MB are'):
    convert.convert(checkpoint, 'lenet')


def test_an_unpacked_release_is_known_by_its_archive(tmp_path):
  """Its checkpoint may be named by any of its files."""
  path = tmp_path / 'inception_v1_2016_08_28.ckpt.index'
  path.touch()
  with pytest.raises(UserError, match='of inception_v1, not of'):
    convert.convert(str(path), 'inception_v2')


def test_a_folder_is_refused(tmp_path):
  with pytest.raises(UserError, match='is a folder: pass one of its files'):
    convert.convert(str(tmp_path))


def test_an_unknown_network_is_refused_before_a_download():
  with pytest.raises(UserError, match="Did you mean 'vgg_16'"):
    convert.convert('keras:VGG16', 'vgg16')


def test_images_too_small_for_the_network_are_refused():
  with pytest.raises(
    UserError, match=r'inception_v3 needs .* not of 10: set --im'
  ):
    convert._check_image_size('model.h5', 'inception_v3', 10)


def test_what_timm_says_of_the_training_is_kept(tmp_path):
  path = tmp_path / 'model.safetensors'
  trained = {
    'input_size': [3, 288, 288], 'crop_pct': 0.95, 'interpolation': 'bicubic',
    'mean': [0.5, 0.5, 0.5], 'std': [0.25, 0.25, 0.25], 'pool_size': [9, 9],
  }  # fmt: skip
  config = {'pretrained_cfg': trained, 'label_names': ['crow', 'gull']}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  assert convert._hub_facts(path) == {
    'image_size': 288,
    'preprocessing': 'imagenet(crop_fraction=0.95, mean=(0.5, 0.5, 0.5), '
    "std=(0.25, 0.25, 0.25), interpolation='bicubic')",
    'class_names': ('crow', 'gull'),
  }
  (tmp_path / 'config.json').write_text('{"pretrained_cfg": {"mean": "x"}}')
  with pytest.raises(
    UserError, match=r'config.json has "x" for pretrained_cfg'
  ):
    convert._hub_facts(path)
  assert convert._hub_facts(tmp_path / 'model.h5') == {}


@pytest.mark.parametrize(
  ('source', 'message'),
  [
    ('nothing.h5', 'No file nothing.h5'),
    ('keras:MobileNetV4', r"Did you mean 'keras:MobileNetV[123]"),
    ('slim:inception_v3', r"Did you mean 'inception_v3_2016_08_28'"),
  ],
)
def test_unknown_sources_are_refused(source, message):
  with pytest.raises(UserError, match=message):
    convert.convert(source)


def test_a_file_that_cannot_be_downloaded_is_named(tmp_path, monkeypatch):
  monkeypatch.setenv('SLIM_CACHE', str(tmp_path))

  def offline(*args, **kwargs):
    raise OSError('no network')

  monkeypatch.setattr('urllib.request.urlopen', offline)
  with pytest.raises(UserError) as error:
    sources.fetch('keras:MobileNetV2')
  assert 'mobilenet_v2_weights_tf_dim_ordering' in str(error.value)
  assert str(tmp_path / 'downloads') in str(error.value)


@pytest.mark.parametrize(
  ('path', 'expected'),
  [('keras:VGG16', True), ('run', False), ('C:/run', False), ('a.h5', True)],
)
def test_sources_are_told_from_checkpoints(
  path, expected, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'a.h5').touch()
  assert sources.is_source(path) == expected
