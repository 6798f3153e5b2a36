"""What this process keeps: for its term, within its bytes, the longest unused first to go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.cache.memory import LARGEST, OVERHEAD, Memory

KEYS = st.integers(min_value=0, max_value=6).map(lambda n: bytes([n]))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "wait"]), KEYS, st.integers(min_value=0, max_value=90)
    ),
    max_size=40,
)


class Model:
    """The same by the slow way: a list in the order of use, searched and summed each time."""

    def __init__(self, most: int) -> None:
        self.most, self.now, self.kept = most, 0.0, list[tuple[bytes, float, bytes]]()

    def get(self, key: bytes) -> bytes | None:
        found = [one for one in self.kept if one[0] == key and one[1] > self.now]
        self.kept = [one for one in self.kept if one[0] != key] + found
        return found[0][2] if found else None

    def put(self, key: bytes, value: bytes, ttl: float) -> None:
        self.kept = [one for one in self.kept if one[0] != key]
        if ttl > 0:
            self.kept.append((key, self.now + ttl, value))
        while sum(len(value) + OVERHEAD for *_, value in self.kept) > self.most:
            self.kept.pop(0)


@given(STEPS)
def test_keeps_what_the_model_keeps(steps: list[tuple[str, bytes, int]]) -> None:
    model = Model(3 * OVERHEAD + 100)
    memory = Memory(lambda: model.now, most_bytes=model.most)
    for what, key, size in steps:
        if what == "wait":
            model.now += size
        elif what == "put":
            model.put(key, b"x" * size, size)
            memory.put(key, b"x" * size, size)
        else:
            assert memory.get(key) == model.get(key)
        assert memory.bytes == sum(len(value) + OVERHEAD for *_, value in model.kept)
        assert len(memory) == len(model.kept)


def test_leaves_out_what_is_too_large() -> None:
    memory = Memory(lambda: 0.0)
    memory.put(b"k", b"x" * (LARGEST + 1), 60)
    assert memory.get(b"k") is None and memory.bytes == 0
