"""Where weights come from: a file, or a name such as keras:MobileNetV2.

What a name stands for is downloaded once, into a cache folder.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import pathlib
from collections.abc import Callable, Iterator

import filelock

from datasets import download
from errors import UserError
from registry import Table, unknown
from weights import tensor_files
from weights.architectures import ARCHITECTURES, KERAS
from weights.slim_releases import RELEASES

ARCHIVES = '.tar.gz', '.tgz', '.tar'
_KERAS = Table('network of Keras with weights', KERAS)


def is_source(text: str) -> bool:
  """Whether a --checkpoint_path names weights to import, not a checkpoint."""
  project = text.partition(':')[0]
  if project in _FETCH and not os.path.exists(text):
    return True
  return os.path.isfile(text) and text.endswith(
    (*tensor_files.ENDINGS, *ARCHIVES)
  )


def fetch(source: str) -> pathlib.Path:
  """Returns the file of a source, after downloading it if it is a name.

  Args:
    source: a file, or a project and a name: 'keras:MobileNetV2',
      'timm:resnet50.a1_in1k', 'slim:inception_v3_2016_08_28'.

  Raises:
    UserError: if there is no such file or name, or it cannot be downloaded.
  """
  project, _, name = source.partition(':')
  if os.path.exists(source) or project not in _FETCH:
    path = pathlib.Path(source)
    if not (path.exists() or os.path.exists(f'{source}.index')):
      raise UserError(
        f'No file {source}. Weights are a file ({", ".join(tensor_files.ENDINGS)}'
        f', {", ".join(ARCHIVES)}), or a name: {_example(source)}.'
      )
    return path
  return _FETCH[project](name)


def _example(text: str) -> str:
  """Returns the names that a text may have meant, or some examples."""
  names = [*ARCHITECTURES, *(f'slim:{name}' for name in RELEASES)]
  tails = {name.partition(':')[2]: name for name in names}
  near = difflib.get_close_matches(text.rpartition(':')[2], tails, n=2)
  return ', '.join(tails[tail] for tail in near) or (
    'keras:MobileNetV2, timm:resnet50.a1_in1k, slim:inception_v3_2016_08_28'
  )


def cache_folder() -> pathlib.Path:
  """Returns the folder of downloaded and converted weights.

  It is $SLIM_CACHE, or slim-attention in $XDG_CACHE_HOME or ~/.cache.
  """
  if os.environ.get('SLIM_CACHE'):
    return pathlib.Path(os.environ['SLIM_CACHE'])
  root = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(root) / 'slim-attention'


@contextlib.contextmanager
def locked_folder(name: str) -> Iterator[pathlib.Path]:
  """Yields a folder of the cache in which one process works at a time.

  Args:
    name: the folder's name; it is created if it does not exist.
  """
  folder = cache_folder() / name
  folder.mkdir(parents=True, exist_ok=True)
  lock = filelock.FileLock(folder / '.lock')
  # Some network file systems have no locks, and a folder that cannot be written
  # may have all files: continue without one.
  with contextlib.suppress(NotImplementedError, OSError):
    lock.acquire()
  try:
    yield folder
  finally:
    lock.release()


def _download(url: str, md5: str | None) -> pathlib.Path:
  """Downloads a file into the cache, unless it is there."""
  with locked_folder('downloads') as folder:
    return download.fetch(
      download.Download(url, md5), folder, f'put it into {folder}'
    )


def _fetch_keras(name: str) -> pathlib.Path:
  entry = _KERAS[f'keras:{name}']
  assert entry.url
  return _download(entry.url, entry.md5)


def _fetch_slim(name: str) -> pathlib.Path:
  return _download(RELEASES[name].url, None)


def _fetch_timm(name: str) -> pathlib.Path:
  """Downloads timm/<name> from the Hugging Face hub, with its config.json."""
  network, _, tag = name.partition('.')
  known = [n.partition(':')[2] for n in ARCHITECTURES if n.startswith('timm:')]
  if network not in known:
    raise UserError(unknown('network of timm', network, known))
  folder = cache_folder() / 'timm' / name
  path = folder / 'model.safetensors'
  if path.exists():
    return path
  try:
    import huggingface_hub
  except ImportError as error:
    raise UserError(
      f"timm:{name} needs the extra 'weights': pip install huggingface_hub. Or "
      'download model.safetensors and config.json from '
      f'https://huggingface.co/timm/{name} into {folder}.'
    ) from error
  # Its clients log each request and each retry.
  disabled = logging.root.manager.disable
  logging.disable(logging.WARNING)
  try:
    for file in ('config.json', path.name):
      huggingface_hub.hf_hub_download(f'timm/{name}', file, local_dir=folder)
  except Exception as error:  # Many types, of several packages.
    problem = (str(error).splitlines() or [type(error).__name__])[0].rstrip('.')
    hint = '' if tag else ' Names on the hub have a tag: timm:resnet50.a1_in1k.'
    raise UserError(
      f'Cannot download timm/{name} from huggingface.co: {problem}. Try again, '
      f'or download its model.safetensors and config.json by other means into '
      f'{folder}.{hint}'
    ) from error
  finally:
    logging.disable(disabled)
  return path


_FETCH: dict[str, Callable[[str], pathlib.Path]] = {
  'keras': _fetch_keras,
  'slim': _fetch_slim,
  'timm': _fetch_timm,
}
