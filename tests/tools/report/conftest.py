"""Run folders as training and evaluation leave them, and a browser."""

import contextlib
import json
import os
import subprocess
import time

import numpy as np
import pytest

from engine.config import job_file
from engine.config.jobs import TrainJob
from engine.evaluation import results
from engine.evaluation.metrics import Metrics
from engine.evaluation.mistakes import Mistakes
from engine.run_dir import csv_log, progress_csv, run_status

NAMES = ('<b>rose</b>', 'tulip & "lily"', "o'aster")


def _evaluate(
  train_dir, names=NAMES, count=60, seed=0, step=30, dataset='fish', bad=0
):
  """Writes the evaluation of random predictions; returns its Result.

  The probabilities of the first `bad` records are NaN.
  """
  random = np.random.default_rng(seed)
  chances = random.dirichlet(np.full(len(names), 0.4), count)
  chances[:bad] = np.nan
  labels = random.integers(0, len(names), count)
  best = np.argsort(-chances, axis=1, kind='stable')[:, :5]
  metrics, mistakes = Metrics(len(names)), Mistakes()
  metrics.update(labels, best, np.full(count, 0.5), chances)
  mistakes.add(
    range(count),
    [f'{n}.jpg' for n in range(count)],
    labels,
    best[:, 0],
    chances.max(1),
  )
  result = results.summarize(
    metrics,
    checkpoint=str(train_dir / f'model.ckpt-{step}'),
    global_step=step,
    dataset=dataset,
    split='test',
    class_names=names,
    images_per_second=1.0,
    mistakes=mistakes.worst(),
  )
  results.write(result, train_dir / 'eval')
  run_status.register_eval_dir(train_dir, str(train_dir / 'eval'))
  return result


@pytest.fixture
def make_run(tmp_path, monkeypatch):
  """make_run(name, **options) -> a run folder with a log and job.json."""
  monkeypatch.setattr(results, 'draw_confusion', lambda *_: None)

  def make(name='run', **options):
    folder = tmp_path / name
    folder.mkdir()
    options = {'model_name': 'lenet', 'dataset_name': 'digits', **options}
    job = TrainJob(train_dir=str(folder), **options)
    facts = {'num_classes': 3, 'num_records': 640, 'images_per_step': 64}
    job_file.write(job, facts)
    rows = (
      {
        'step': step,
        'time': f'2026-01-01T00:00:{step:02}+00:00',
        'loss': 3 / step,
        'learning_rate': 0.01,
        'accuracy': step / 60,
      }
      for step in range(1, 31)
    )
    csv_log.write(folder / progress_csv.FILE, progress_csv.COLUMNS, rows)
    return folder

  return make


class Browser:
  """A headless Chromium, driven by its DevTools protocol over a pipe.

  Attributes:
    errors: what the console has reported as an error, and exceptions.
  """

  def __init__(self, folder):
    (read, self._write), (self._read, write) = os.pipe(), os.pipe()
    flags = '--headless=new --no-sandbox --disable-gpu --remote-debugging-pipe'
    command = (
      f'exec chromium {flags} --user-data-dir="$0" 3<&{read} 4>&{write} '
      '> /dev/null 2>&1'
    )
    self._process = subprocess.Popen(
      ['bash', '-c', command, str(folder)], pass_fds=(read, write)
    )
    os.close(read)
    os.close(write)
    self._bytes, self._number, self._session = b'', 0, None
    self.errors: list[str] = []
    self._loaded = False
    target = self.call('Target.createTarget', url='about:blank')['targetId']
    attached = self.call('Target.attachToTarget', targetId=target, flatten=True)
    self._session = attached['sessionId']
    for domain in ('Page', 'Runtime', 'Log', 'Network'):
      self.call(f'{domain}.enable')

  def close(self):
    with contextlib.suppress(OSError):
      os.close(self._write)
    self._process.terminate()
    self._process.wait(20)
    os.close(self._read)

  def call(self, method, **parameters):
    """Calls a method of the protocol, and returns its result."""
    self._number += 1
    message = {'id': self._number, 'method': method, 'params': parameters}
    if self._session:
      message['sessionId'] = self._session
    os.write(self._write, json.dumps(message).encode() + b'\0')
    while (reply := self._next()).get('id') != self._number:
      self._heed(reply)
    assert 'error' not in reply, reply
    return reply['result']

  def _next(self):
    while b'\0' not in self._bytes:
      data = os.read(self._read, 1 << 20)
      assert data, 'the browser has ended'
      self._bytes += data
    text, _, self._bytes = self._bytes.partition(b'\0')
    return json.loads(text)

  def _heed(self, event):
    method, about = event.get('method'), event.get('params', {})
    if method == 'Page.loadEventFired':
      self._loaded = True
    elif method == 'Runtime.exceptionThrown':
      self.errors.append(str(about['exceptionDetails']))
    elif method == 'Log.entryAdded' and about['entry']['level'] != 'verbose':
      self.errors.append(about['entry']['text'])
    elif method == 'Runtime.consoleAPICalled':
      self.errors.append(str(about['args']))
    elif method == 'Network.requestWillBeSent':
      self.requests.append(about['request']['url'])

  def open(self, path, width=1400, scheme='light'):
    """Opens a page at a width, and waits until it is loaded."""
    self.call(
      'Emulation.setDeviceMetricsOverride',
      width=width, height=900, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    feature = {'name': 'prefers-color-scheme', 'value': scheme}
    self.call('Emulation.setEmulatedMedia', features=[feature])
    self._loaded, self.requests = False, []
    self.call('Page.navigate', url=path.absolute().as_uri())
    while not self._loaded:
      self._heed(self._next())

  def run(self, script):
    """Evaluates JavaScript, and returns its value."""
    answer = self.call(
      'Runtime.evaluate', expression=script, returnByValue=True
    )
    assert 'exceptionDetails' not in answer, answer
    return answer['result'].get('value')

  def click(self, selector):
    """Clicks the middle of an element with the mouse."""
    x, y = self.run(
      f'(() => {{ const e = document.querySelector({json.dumps(selector)});'
      "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
      'return [r.x + r.width / 2, r.y + r.height / 2]; })()'
    )
    for kind in ('mousePressed', 'mouseReleased'):
      self.call(
        'Input.dispatchMouseEvent',
        type=kind, x=x, y=y, button='left', clickCount=1,
      )  # fmt: skip

  def press(self, key):
    """Presses a key: Tab or Enter."""
    code, text = {'Tab': (9, ''), 'Enter': (13, '\r')}[key]
    about = {'key': key, 'code': key, 'windowsVirtualKeyCode': code}
    if text:
      about['text'] = text
    self.call('Input.dispatchKeyEvent', type='keyDown', **about)
    self.call('Input.dispatchKeyEvent', type='keyUp', **about)
    time.sleep(0.02)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
  """A headless Chromium; tests with it are deselected where there is none."""
  browser = Browser(tmp_path_factory.mktemp('profile'))
  yield browser
  browser.close()


@pytest.fixture
def evaluate():
  """evaluate(run folder, names, ...) -> the Result it has written."""
  return _evaluate
