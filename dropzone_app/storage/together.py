"""Several calls at once, for those that wait for another machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..cores import use_all

_T = TypeVar("_T")
_R = TypeVar("_R")


def together(work: Callable[[_T], _R], items: Sequence[_T], at_once: int) -> list[_R]:
    """``work`` for each item, ``at_once`` at most at a time.

    Where one fails, no other begins, those begun are waited for, and the first failure is raised.
    """
    if at_once == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items)), initializer=use_all) as pool:
        begun = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in begun]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
