"""Examples with keys of other types: one verdict, whoever reads them."""

import pytest
from original_files import photo_bytes

from datasets import bad_records, reader, records
from datasets.dataset import Dataset
from datasets.process_pool import ProcessPool
from datasets.record_inspection import inspect_record
from datasets.scan import scan
from preprocessing.preprocessing_factory import get_preprocessing
from tf_compat import tf

FIELDS = {bytes: 'bytes_list', int: 'int64_list', float: 'float_list'}
WHOLE = {'image/encoded': photo_bytes('PNG'), 'image/class/label': 3}
OTHER_TYPES = [7, 2.5, [b'a', b'b'], [1, 2], [], None]


def encode(features) -> bytes:
  """Serializes key -> a value, a list of values, or None for no type."""
  message = {}
  for key, values in features.items():
    values = values if isinstance(values, list) else [values]
    field = FIELDS.get(type(values[0]) if values else bytes)
    message[key] = {field: {'value': values}} if field else {}
  example = tf.train.Example(features={'feature': message})
  return example.SerializeToString()


def write(folder, *examples) -> Dataset:
  path = folder / 'made_test.tfrecord'
  count = records.write_shard(path, examples, encode)
  return Dataset('made', 'test', (str(path),), count, 10, 3, ('',) * 10)


def read(dataset, is_training=False):
  """Returns the first batch, of all records of a split."""
  with tf.Graph().as_default(), tf.Session() as session:
    fn = get_preprocessing('lenet', is_training)
    data = reader.read(dataset, fn, 8, dataset.num_records, is_training)
    iterator = tf.data.make_initializable_iterator(data)
    session.run(iterator.initializer)
    return session.run(iterator.get_next())


def problems(dataset):
  """Returns what inspection finds wrong with each record."""
  with ProcessPool(inspect_record, 1, dataset.num_records) as pool:
    return [info.problem for info in scan(dataset, pool)]


def test_optional_keys_of_another_type_are_ignored(tmp_path):
  dataset = write(
    tmp_path,
    {**WHOLE, 'image/filename': b'a.png'},
    *(
      {
        **WHOLE,
        'image/filename': values,
        'image/format': values,
        'image/height': b'high',
        'image/object/bbox/xmin': values,
      }
      for values in OTHER_TYPES
    ),
    WHOLE,
    {**WHOLE, 'image/filename': b'b.png', 'image/other': b'c.png'},
  )
  batch = read(dataset)
  unnamed = [b''] * (len(OTHER_TYPES) + 1)
  assert batch['filename'].tolist() == [b'a.png', *unnamed, b'b.png']
  assert set(batch['label']) == {3}
  assert set(read(dataset, is_training=True)['label']) == {3}
  assert bad_records.find_bad_record(dataset) is None
  assert problems(dataset) == [None] * dataset.num_records


@pytest.mark.parametrize(
  ('key', 'value', 'problem'),
  [
    ('class/label', b'cat', "has the text 'cat' under {}, not one integer"),
    ('class/label', b'\xff' * 99, "has the text '\ufffd\ufffd"),
    ('class/label', 3.0, 'has the float 3.0 under {}, not one integer'),
    ('class/label', [3, 4], 'has 2 integers under {}, not one integer'),
    ('class/label', [1.0, 2.0], 'has 2 floats under {}, not one integer'),
    ('class/label', [], 'has 0 texts under {}, not one integer'),
    ('class/label', None, 'has no {}'),
    ('encoded', 7, 'has the integer 7 under {}, not the bytes of one image'),
    ('encoded', [b'', b''], 'has 2 texts under {}, not the bytes of one image'),
  ],
)
def test_the_type_of_a_required_key_is_said_by_all(
  tmp_path, key, value, problem
):
  key = f'image/{key}'
  dataset = write(tmp_path, WHOLE, {**WHOLE, key: value})
  whole, found = problems(dataset)
  assert whole is None
  assert found.startswith(problem.format(key))
  assert len(found) < 100
  line = bad_records.find_bad_record(dataset)
  assert line.endswith(found)
  assert 'record 1 (from 0)' in line
  with pytest.raises(tf.errors.InvalidArgumentError):
    read(dataset)
