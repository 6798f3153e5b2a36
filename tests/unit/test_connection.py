"""What is written together leaves together, and nothing that was written is lost or held back."""

from __future__ import annotations

import asyncio

import pytest

from routing.management.connection import MOST_KEPT, Together


class Beneath(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def beneath() -> Beneath:
    return Beneath()


async def test_head_and_body_leave_as_one(beneath: Beneath) -> None:
    together = Together(beneath, asyncio.get_running_loop())
    together.write(b"head ")
    together.write(b"body")
    assert beneath.sent == []
    await asyncio.sleep(0)
    assert beneath.sent == [b"head body"]


async def test_a_later_piece_waits_for_nothing_but_its_own_turn(beneath: Beneath) -> None:
    together = Together(beneath, asyncio.get_running_loop())
    for piece in (b"one", b"two"):
        together.write(piece)
        await asyncio.sleep(0)
    assert beneath.sent == [b"one", b"two"]


async def test_what_waits_leaves_before_the_end(beneath: Beneath) -> None:
    together = Together(beneath, asyncio.get_running_loop())
    together.write(b"last words")
    together.close()
    assert (beneath.sent, beneath.closed) == ([b"last words"], True)
    await asyncio.sleep(0)
    assert beneath.sent == [b"last words"]


async def test_much_is_not_kept_back(beneath: Beneath) -> None:
    """Or whoever writes on and on would never hear that the other side is slow."""
    together = Together(beneath, asyncio.get_running_loop())
    together.write(b"x" * (MOST_KEPT + 1))
    assert len(beneath.sent) == 1
