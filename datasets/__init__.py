"""Data sets: declarative specs, converters to TFRecord, and one reader.

The data sets:
  spec, dataset_factory     everything keyed by a data set's name; the table
  digits, mnist, cifar, flowers, imagenet     one or two specs each
  photo_folder, tfds        specs made for a folder or for TensorFlow Datasets
From originals to records:
  convert                   the conversion, the same for all data sets
  process_pool, staging     uses all cores; publishes a complete set or none
  download, source_files, archive     downloads, folders, tar and zip archives
  photo_list, text_files    lists of photos; text that people write
  pickled_arrays            pickles of arrays, without calling what they name
  photo, strict_image_check, bounding_boxes     checked photos and their boxes
  example_features, records     features of an example; TFRecord files
From records to a network:
  shards, manifest          the files of a data set and their contents
  dataset                   a split on disk, as all other packages see it
  record_files, record_order     their bytes, compressed or not; their order
  example, reader           parses records; yields batches of them
  bad_records               finds records that cannot be used; skips them
  scan, record_inspection   inspects every record of a split
"""
