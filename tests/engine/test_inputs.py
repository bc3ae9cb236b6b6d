"""What each process that trains with others reads."""

import dataclasses

import pytest

from deployment.cluster import Cluster
from engine import inputs
from engine.config import resolve
from tf_compat import tf


def images(setup, count: int) -> list[bytes]:
  """The first images of a setup's training batches."""
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.batches(setup, is_training=True, seed=1)
    batch = batches.get_next()
    session.run(inputs.initializer(batches))
    found = []
    while len(found) < count:
      found += [image.tobytes() for image in session.run(batch['image'])]
  return found


@pytest.mark.slow
def test_each_record_is_read_by_one_worker_an_epoch(train_job):
  setup = resolve.training(train_job(batch_size=4), {})
  everything = images(setup, 40)
  assert len(set(everything)) == 40
  shares = [
    images(
      dataclasses.replace(setup, cluster=Cluster(('a:1', 'b:1'), task=task)),
      40,
    )
    for task in range(2)
  ]
  for epoch in (slice(0, 20), slice(20, 40)):
    read = [image for share in shares for image in share[epoch]]
    assert sorted(read) == sorted(everything)
