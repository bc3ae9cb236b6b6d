from engine import console


def test_lines_go_to_stderr_as_they_are(capsys):
  console.say('eval/Accuracy[0.50000]')
  captured = capsys.readouterr()
  assert captured.err.splitlines() == ['eval/Accuracy[0.50000]']
  assert captured.out == ''


def test_no_bar_is_drawn_where_there_is_no_terminal(capsys):
  with console.bar(3) as bar:
    bar.update()
  assert bar.disable
  assert capsys.readouterr().err == ''
