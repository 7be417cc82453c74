"""What a crashed process's standard error says of the crash."""

from __future__ import annotations

from ganga_kernel.broker.lastwords import last_words

CRASH = """Fatal Python error: Segmentation fault

Thread 0x00007f41925836c0 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 331 in wait
  File "/tmp/ipykernel_7/99.py", line 9 in elsewhere

Current thread 0x00007f41946b3b80 (most recent call first):
{frames}  File "/env/lib/IPython/core/interactiveshell.py", line 3823 in run_code

Thread 0x00007f41925836c1 (most recent call first):
  File "/tmp/ipykernel_7/99.py", line 8 in elsewhere

Extension modules: numpy.core._multiarray_umath (total: 20)
"""
LIBRARY = '  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at\n'
FUNCTION = '  File "/tmp/ipykernel_12/123.py", line 2 in f\n'
CELL = '  File "/tmp/ipykernel_19009/2208899296.py", line 3 in <module>\n'


def said(*frames: str) -> str:
    return last_words(CRASH.format(frames="".join(frames)))


def test_a_crash_says_where_in_the_cell_it_was() -> None:
    library = "string_at (ctypes/__init__.py, line 519)"
    assert said(CELL) == "It was in line 3 of the cell."
    assert said(LIBRARY, CELL) == f"It was in {library}, called from line 3 of the cell."
    assert said(LIBRARY, FUNCTION, CELL) == f"It was in {library}, called from f, line 2 of its cell."
    assert said(FUNCTION, CELL) == "It was in f, line 2 of its cell."
    assert said('  File "Cell In[3]", line 1 in <module>\n') == "It was in line 1 of the cell."


def test_a_crash_outside_of_any_cell_and_other_words_are_told_as_they_are() -> None:
    assert said().endswith("(total: 20)") and said().startswith("It said: ")
    assert last_words(" no such file\n") == "It said: no such file"
    assert len(last_words("x" * 9000)) < 600
    assert last_words("\n") == ""
