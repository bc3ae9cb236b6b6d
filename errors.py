"""UserError: a mistake that the user can correct."""


class UserError(ValueError):
  """Wrong input: names the value, the alternatives and the remedy.

  The programs print its message in a line or two without a stack trace and
  exit with 2. Any other exception is a defect of ours and keeps its trace.
  """
