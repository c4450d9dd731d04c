"""Sessions that wait, for benchmark_config.wrap_session: what a gate must notice, and one whose time is known.

`by_3_percent` goes around any session. Each inference is followed by a wait of 3 % of the time that it just took, in
which this process is busy and the device idle; so a change of the clock changes the wait too.
"""

from __future__ import annotations

import time
from time import perf_counter
from typing import Any

from bench.backends.base import Arrays, Pending, Session, Staged

SHARE = 0.03
STEADY_S = 0.005
SPUN_S = 0.0005  # at its end: how late a sleeping process wakes up differs


def by_3_percent(session: Session) -> Session:
    """The session, 3 % slower in all that computes; copies take as long as before."""
    return _Slowed(session, SHARE)


def steady(session: Session) -> Session:
    """5 ms for an inference, whatever the machine is doing: around the null backend's."""
    return _Steady(session)


def steady_slowed(session: Session) -> Session:
    """The same, 3 % slower."""
    return by_3_percent(steady(session))


class _Wrapped:
    """A session that passes everything on."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.conversion, self.call, self.on_device = session.conversion, session.call, session.on_device

    def infer(self, batch: Arrays) -> Arrays:
        return self._session.infer(batch)

    def stage(self, batch: Arrays) -> Staged:
        return self._session.stage(batch)

    def launch(self, staged: Staged) -> Pending:
        return self._session.launch(staged)

    def wait(self, pending: Pending) -> None:
        self._session.wait(pending)

    def fetch(self, pending: Pending) -> Arrays:
        return self._session.fetch(pending)

    def prove(self, batch: Arrays) -> Any:
        return self._session.prove(batch)

    def peak_gpu_bytes(self) -> int | None:
        return self._session.peak_gpu_bytes()

    def __enter__(self) -> Any:
        self._session.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._session.__exit__(*exception)


class _Slowed(_Wrapped):
    """Waits a share of what each inference took; several that are in flight are waited for once, as they are timed."""

    def __init__(self, session: Session, share: float) -> None:
        super().__init__(session)
        self._share, self._launched = share, 0.0

    def infer(self, batch: Arrays) -> Arrays:
        began = perf_counter()
        outputs = super().infer(batch)
        self._wait(began)
        return outputs

    def launch(self, staged: Staged) -> Pending:
        self._launched = self._launched or perf_counter()
        return super().launch(staged)

    def wait(self, pending: Pending) -> None:
        super().wait(pending)
        if self._launched:
            self._wait(self._launched)
        self._launched = 0.0

    def _wait(self, began: float) -> None:
        now = perf_counter()
        until = now + self._share * (now - began)
        while perf_counter() < until:
            pass


class _Steady(_Wrapped):
    """Sleeps until the time is nearly up, so that the machine's other work delays it little."""

    def infer(self, batch: Arrays) -> Arrays:
        self._pass(perf_counter() + STEADY_S)
        return super().infer(batch)

    def launch(self, staged: Staged) -> Pending:
        self._pass(perf_counter() + STEADY_S)
        return super().launch(staged)

    def _pass(self, until: float) -> None:
        time.sleep(STEADY_S - SPUN_S)
        while perf_counter() < until:
            pass
