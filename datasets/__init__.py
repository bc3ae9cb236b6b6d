"""ON WHAT: data sets as declarative specs, converters, and one reader.

The sets:
  spec, dataset_factory     what is keyed by a set's name, and the table
  digits, mnist, cifar, flowers, imagenet     a spec each, or two
  photo_folder, tfds        specs made for a folder, or for a set from elsewhere
From originals to records:
  convert                   the conversion, by which all sets are made
  workers, staging          on all cores; whole or not at all
  download, originals, tree     files from hosts, in folders and in archives
  photo, encoded, bounding_boxes     a photo checked, and what is known of it
  content, records          what a record is to hold, and record files
From records to a network:
  shards, manifest          which files a set has, and what they hold
  dataset                   a split, as all others are given it
  example, reader           a record taken apart, and batches of them
  bad_records               which record cannot be used, and doing without it
  survey, sight             every record looked at, and what is seen of one
"""
