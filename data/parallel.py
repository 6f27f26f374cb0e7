"""Ordered work over several processes, with a bounded number of results in memory."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import cv2

from data.starter import end_with_starter

Task = TypeVar("Task")
Result = TypeVar("Result")


def ordered(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int) -> Iterator[Result]:
    """`work` of each task, in the tasks' order; with one process, or few tasks, in this one.

    `work` is a module's function and tasks are picklable. Fresh processes (spawn), not forks: the caller may run
    threads. At most four tasks a process are under way, so that large images do not pile up before a slow reader.
    """
    if processes <= 1 or len(tasks) < 2:
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(processes, len(tasks)), mp_context=context, initializer=_begin)
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            if len(waiting) >= 4 * processes:
                yield waiting.popleft().result()
            waiting.append(executor.submit(work, task))
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _begin() -> None:
    end_with_starter()
    cv2.setNumThreads(1)


def chunks(items: Sequence[Task], size: int) -> list[Sequence[Task]]:
    """The items in slices of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]
