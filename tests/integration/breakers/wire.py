"""A wire to a server that can be cut or frozen: what is on it breaks, or hangs."""

from __future__ import annotations

import contextlib
import socket
import threading


class Wire:
    """Forwards a port of its own to `host`:`port` until it is cut, and again once it is mended."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ear = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._ear.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        with self._lock:
            self._is_cut = True
            ends, self._open = self._open, set()
        self._flows.set()
        for end in ends:
            _close(end)

    def freeze(self) -> None:
        """Let every connection stand and pass nothing on, as a frozen server does."""
        self._flows.clear()

    def mend(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._is_cut = False
        self._flows.set()

    def end(self) -> None:
        """Cut it for good."""
        self.cut()
        _close(self._ear)

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._ear.accept()
            except OSError:
                return
            with self._lock:
                refused = self._is_cut
            if refused:
                _close(near)
                continue
            far = socket.create_connection(self._to)
            with self._lock:
                self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._flows.wait()
                other.sendall(data)
        _close(one)
        _close(other)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
