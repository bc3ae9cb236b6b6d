"""Clusters by TF_CONFIG or flags, and contradictions that are refused."""

import json

import pytest

from deployment import cluster
from engine.config.jobs import TrainJob
from errors import UserError

WORKERS = 'a:1,b:2'


def find(config=None, **flags):
  environ = {}
  if config is not None:
    text = config if isinstance(config, str) else json.dumps(config)
    environ['TF_CONFIG'] = text
  return cluster.find(TrainJob(**flags), environ)


def config(kind, index, **hosts):
  return {'cluster': hosts, 'task': {'type': kind, 'index': index}}


@pytest.mark.parametrize(
  'alone',
  [
    {},
    {'config': {}},
    {'config': {'task': {'type': 'worker', 'index': 0}}},
    {'config': config('chief', 0, chief=['a:1'])},
    {'worker_hosts': 'a:1'},
  ],
)
def test_a_single_process_is_not_a_cluster(alone):
  assert find(**alone) is None


def test_flags_describe_a_cluster_if_tf_config_does_not():
  config = {'environment': 'cloud', 'task': {'type': 'worker', 'index': 0}}
  assert find(config, worker_hosts=WORKERS, task=1) == find(
    worker_hosts=WORKERS, task=1
  )


@pytest.mark.parametrize('task', [0, 1])
def test_flags_and_tf_config_give_the_same_cluster(task):
  by_flags = find(worker_hosts='a:1, b:2', task=task, worker_replicas=2)
  assert by_flags == find(config('worker', task, worker=['a:1', 'b:2']))
  assert by_flags.address == ('a:1', 'b:2')[task]
  assert by_flags.others == [('b:2', 'a:1')[task]]
  assert by_flags.is_chief == (task == 0)


def test_a_chief_is_the_first_worker():
  chief = find(config('chief', 0, chief=['a:1'], worker=['b:2', 'c:3']))
  assert chief.is_chief
  last = find(config('worker', 1, chief=['a:1'], worker=['b:2', 'c:3']))
  assert last.workers == ('a:1', 'b:2', 'c:3')
  assert (last.task, last.address) == (2, 'c:3')
  assert not last.is_chief


def test_parameter_servers_are_not_workers():
  server = find(worker_hosts='a:1', ps_hosts='b:2', job_name='ps')
  assert server.hosts == {'worker': ['a:1'], 'ps': ['b:2']}
  assert server.address == 'b:2'
  assert not server.is_chief


@pytest.mark.parametrize(
  ('message', 'wrong'),
  [
    ('TF_CONFIG is not JSON .*Write it like', {'config': '{'}),
    ('TF_CONFIG has \\[\\] for its content', {'config': '[]'}),
    ('TF_CONFIG has 3 for cluster, not an object', {
      'config': '{"cluster": 3}'}),
    ('nested too deep', {'config': '[' * 100_000}),
    ('has 1 for cluster.worker.0, not', {
      'config': config('worker', 0, worker=[1])}),
    ('has \\["worker"\\] for task.type, not', {
      'config': config(['worker'], 0, worker=['a:1', 'b:2'])}),
    ('has Infinity for task.index, not a whole number', {
      'config': config('worker', float('inf'), worker=['a:1', 'b:2'])}),
    ('has 1e999 for task.index', {
      'config': '{"cluster": {}, "task": {"type": "ps", "index": 1e999}}'}),
    ('has 10+\\.\\.\\. for task.index', {
      'config': '{"task": {"type": "ps", "index": 1' + '0' * 5000 + '}}'}),
    ("'b:9+\\.\\.\\.9+' is not an address", {
      'worker_hosts': 'a:1,b:' + '9' * 5000}),
    ('TF_CONFIG lacks task', {'config': {'cluster': {'worker': ['a:1']}}}),
    ('2 chiefs', {'config': config('chief', 0, chief=['a:1', 'b:2'])}),
    ('eval_image_classifier_loop', {
      'config': config('evaluator', 0, worker=['a:1', 'b:2'])}),
    ('both describe a cluster', {
      'config': config('worker', 0, worker=['a:1', 'b:2']),
      'worker_hosts': WORKERS}),
    ('has "a:1" for cluster.worker, not a list.*"worker": \\["host:port"', {
      'config': config('worker', 0, worker='a:1')}),
    ('--task=1, but TF_CONFIG makes this process worker 0', {
      'config': config('worker', 0, worker=['a:1', 'b:2']), 'task': 1}),
    ('--job_name=ps, but TF_CONFIG makes this process worker 1', {
      'config': config('worker', 1, worker=['a:1', 'b:2']),
      'job_name': 'ps'}),
    ('worker 2 .*, but the cluster has 2 worker', {
      'worker_hosts': WORKERS, 'task': 2}),
    ('ps 0 .*, but the cluster has 2 worker, 0 ps', {
      'worker_hosts': WORKERS, 'job_name': 'ps'}),
    ('a:1 is listed twice', {'worker_hosts': 'a:1,a:1'}),
    ("'a:1 b:2' is not an address: .* comma", {'worker_hosts': 'a:1 b:2'}),
    ("'grpc://a:1' is not an address", {'worker_hosts': 'grpc://a:1,b:2'}),
    ("'b' is not an address", {'worker_hosts': 'a:1,b'}),
    ("'b:0' is not an address", {'worker_hosts': 'a:1,b:0'}),
    ("'b:65536' is not an address", {'worker_hosts': 'a:1,b:65536'}),
    ("'.svc:1' is not an address", {'worker_hosts': 'a:1,.svc:1'}),
    ("'b..svc:1' is not an address", {'worker_hosts': 'a:1,b..svc:1'}),
    ("'b{64}:1' is not an address", {'worker_hosts': f'a:1,{"b" * 64}:1'}),
    ('has no workers', {'ps_hosts': 'a:1', 'job_name': 'ps'}),
    ('worker_replicas=3, but the cluster has 2', {
      'worker_hosts': WORKERS, 'worker_replicas': 3}),
    ('worker_replicas=2, but the cluster has 1', {'worker_replicas': 2}),
    ('num_ps_tasks=1, but the cluster has 0', {
      'worker_hosts': WORKERS, 'num_ps_tasks': 1}),
    ('--task=1 require a cluster', {'task': 1}),
    ('--job_name=ps .* require a cluster', {'job_name': 'ps'}),
  ],
)  # fmt: skip
def test_contradictions_are_refused(message, wrong):
  with pytest.raises(UserError, match=message):
    find(**wrong)
