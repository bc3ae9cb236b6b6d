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
  """/whole gives the content, /cut half of what it promises, others 404."""

  def do_GET(self):
    self.server.asked.append(self.path)
    if self.path not in ('/whole.gz', '/cut.gz', '/unsized.gz'):
      self.send_error(404)
      return
    self.send_response(200)
    if self.path != '/unsized.gz':
      self.send_header('Content-Length', str(len(CONTENT)))
    self.end_headers()
    half = len(CONTENT) // 2
    self.wfile.write(CONTENT[:half] if self.path == '/cut.gz' else CONTENT)

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
def test_a_file_comes_whole(host, tmp_path, path):
  file = fetch(Download(url(host, path), MD5), tmp_path)
  assert file == tmp_path / path[1:]
  assert file.read_bytes() == CONTENT
  assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_is_there_is_not_fetched_again(host, tmp_path):
  download = Download(url(host, '/whole.gz'), MD5)
  fetch(download, tmp_path)
  fetch(download, tmp_path)
  assert host.asked == ['/whole.gz']
  (tmp_path / 'whole.gz').write_bytes(CONTENT[:-1])
  assert fetch(download, tmp_path).read_bytes() == CONTENT
  assert host.asked == ['/whole.gz'] * 2


@pytest.mark.parametrize(
  ('path', 'md5', 'reason'),
  [
    ('/whole.gz', '0' * 32, f'its MD5 is {MD5}, not {"0" * 32}'),
    ('/cut.gz', MD5, r'its MD5 is \w+, not|IncompleteRead'),
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


def test_a_host_that_does_not_answer(tmp_path, monkeypatch):
  monkeypatch.setenv('no_proxy', '*')
  with socket.socket() as taken:
    # Bound but not listening: whoever connects is refused.
    taken.bind(('127.0.0.1', 0))
    address = f'http://127.0.0.1:{taken.getsockname()[1]}/whole.gz'
    with pytest.raises(UserError, match=r'Cannot download .*refused'):
      fetch(Download(address, MD5), tmp_path)
  assert list(tmp_path.iterdir()) == []
