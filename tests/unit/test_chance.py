from __future__ import annotations

import os
import re

from routing import chance


def test_no_word_comes_twice() -> None:
    words = [chance.word() for _ in range(chance.AT_ONCE * 4 + 1)]
    assert len(set(words)) == len(words)
    assert all(re.fullmatch(r"[0-9a-f]{16}", word) for word in words)


def test_a_child_gives_other_words_than_its_parent() -> None:
    chance.word()  # so that some are kept
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, chance.word().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.read() not in {chance.word() for _ in range(chance.AT_ONCE)}
