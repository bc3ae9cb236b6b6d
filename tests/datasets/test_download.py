import hashlib
import http.server
import socket
import threading

import pytest

from datasets.download import Download, fetch
from errors import UserError

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
  """Serves the content at several paths; others are 404.

  /whole supports ranges; /cut ends the first response after half of the
  content; /unsized omits the size; /deaf ignores ranges.
  """

  def do_GET(self):
    start = int(self.headers.get('Range', 'bytes=0-')[6:-1])
    self.server.asked.append((self.path, start))
    kind = self.path.removesuffix('.gz')[1:]
    if kind not in ('whole', 'cut', 'unsized', 'deaf'):
      self.send_error(404)
    elif start >= len(CONTENT) and kind != 'deaf':
      self.send_error(416)
    else:
      self.give(kind, 0 if kind == 'deaf' else start)

  def give(self, kind, start):
    self.send_response(206 if start else 200)
    if kind != 'unsized':
      self.send_header('Content-Length', str(len(CONTENT) - start))
    self.end_headers()
    half = len(CONTENT) // 2 if kind == 'cut' and not start else len(CONTENT)
    self.wfile.write(CONTENT[start:half])

  def log_message(self, *_):
    pass


@pytest.fixture
def host(monkeypatch):
  monkeypatch.setenv('no_proxy', '*')
  with http.server.HTTPServer(('127.0.0.1', 0), Handler) as server:
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def url(host, path):
  return f'http://127.0.0.1:{host.server_port}{path}'


@pytest.mark.parametrize('path', ['/whole.gz', '/unsized.gz'])
def test_a_file_is_downloaded_completely(host, tmp_path, path):
  file = fetch(Download(url(host, path), MD5), tmp_path)
  assert file == tmp_path / path[1:]
  assert file.read_bytes() == CONTENT
  assert list(tmp_path.iterdir()) == [file]


def test_an_existing_file_is_not_downloaded_again(host, tmp_path):
  download = Download(url(host, '/whole.gz'), MD5)
  fetch(download, tmp_path)
  fetch(download, tmp_path)
  assert host.asked == [('/whole.gz', 0)]
  (tmp_path / 'whole.gz').write_bytes(CONTENT[:-1])
  assert fetch(download, tmp_path).read_bytes() == CONTENT
  assert host.asked == [('/whole.gz', 0)] * 2


def test_an_interrupted_download_continues_at_the_next_call(host, tmp_path):
  download = Download(url(host, '/cut.gz'), MD5)
  half = len(CONTENT) // 2
  with pytest.raises(
    UserError, match=f'interrupted at byte {half} of {len(CONTENT)}'
  ):
    fetch(download, tmp_path)
  assert not (tmp_path / 'cut.gz').exists()
  assert fetch(download, tmp_path).read_bytes() == CONTENT
  assert host.asked == [('/cut.gz', 0), ('/cut.gz', half)]
  assert [path.name for path in tmp_path.iterdir()] == ['cut.gz']


@pytest.mark.parametrize('path', ['/whole.gz', '/deaf.gz', '/unsized.gz'])
@pytest.mark.parametrize('there', [1000, len(CONTENT), len(CONTENT) + 1])
def test_a_file_is_complete_whatever_part_exists(host, tmp_path, path, there):
  part = tmp_path / f'.{path[1:]}.part'
  part.write_bytes((CONTENT + b'more')[:there])
  file = fetch(Download(url(host, path), MD5), tmp_path)
  assert file.read_bytes() == CONTENT
  assert list(tmp_path.iterdir()) == [file]


def test_a_part_of_another_file_is_not_kept(host, tmp_path):
  (tmp_path / '.whole.gz.part').write_bytes(b'something else')
  download = Download(url(host, '/whole.gz'), MD5)
  with pytest.raises(UserError, match='its MD5 is'):
    fetch(download, tmp_path)
  assert fetch(download, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
  ('path', 'md5', 'reason'),
  [
    ('/whole.gz', '0' * 32, f'its MD5 is {MD5}, not {"0" * 32}'),
    ('/nothing.gz', MD5, 'Not Found'),
  ],
)
def test_a_failure_names_the_address_and_leaves_nothing(
  host, tmp_path, path, md5, reason
):
  download = Download(url(host, path), md5)
  with pytest.raises(UserError, match=reason) as error:
    fetch(download, tmp_path)
  assert download.url in str(error.value)
  assert '--source_dir' in str(error.value)
  assert list(tmp_path.iterdir()) == []


def test_a_host_that_does_not_answer_is_named(tmp_path, monkeypatch):
  monkeypatch.setenv('no_proxy', '*')
  with socket.socket() as taken:
    # Bound but not listening: whoever connects is refused.
    taken.bind(('127.0.0.1', 0))
    address = f'http://127.0.0.1:{taken.getsockname()[1]}/whole.gz'
    with pytest.raises(UserError, match=r'Cannot download .*refused'):
      fetch(Download(address, MD5), tmp_path)
  assert list(tmp_path.iterdir()) == []
