"""A shard on its way through the stages: what can be worked on now, and what follows from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from wavemill.pipeline.dividing import Divide
from wavemill.pipeline.plan import ShardPlan
from wavemill.pipeline.task import PieceResult, Task, TaskResult


class ShardRun:
    """The tasks of one shard, in an order that several workers can follow side by side.

    A stage can be worked on as soon as its inputs are done, beside others. Where `divide` finds
    pieces, these come first, each a task of its own, and then the task that joins them.
    """

    def __init__(self, plan: ShardPlan, divide: Divide) -> None:
        """`divide` is asked once for each stage, when its inputs are done."""
        self.plan, self._divide = plan, divide
        self.failed = False  # no more of its tasks are given out
        self.running = 0
        self._ready: deque[Task] = deque()
        self._begun: set[str] = set()
        self._whole: dict[str, Task] = {}  # stage -> the task that joins its pieces
        self._missing: dict[str, int] = {}  # stage -> pieces that are not made
        self._advance()

    @property
    def shard_id(self) -> str:
        return self.plan.shard.shard_id

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do or being done."""
        return not self.running and (self.failed or not self.plan.todo)

    def stages(self) -> list[str]:
        """Return the stage of each task that can be worked on now."""
        return [] if self.failed else [task.stage for task in self._ready]

    def take(self, stages: Iterable[str]) -> Task | None:
        """Return the first task of one of these stages, to be worked on; None if there is none."""
        for task in self._ready if not self.failed else ():
            if task.stage in stages:
                self._ready.remove(task)
                self.running += 1
                return task
        return None

    def give_back(self, task: Task) -> None:
        """Have a task that was taken be taken again."""
        self.running -= 1
        self._ready.appendleft(task)

    def drop(self) -> None:
        """Note that a task that was taken has failed for good: no more of the shard is begun."""
        self.running -= 1
        self.failed = True

    def finish(self, task: Task, result: TaskResult) -> None:
        """Note that a task that was taken is done."""
        self.running -= 1
        if self.failed:
            return
        if isinstance(result, PieceResult):
            assert task.piece is not None
            if result.lost:
                self._lose(task.stage, task.piece.recording_id)
            self._missing[task.stage] -= 1
            self._join_if_made(task.stage)
        else:
            self.plan.finish(result)
            self._advance()

    def _advance(self) -> None:
        """Begin the stages whose inputs are done."""
        todo = set(self.plan.todo)
        for name in self.plan.todo:
            if name not in self._begun and todo.isdisjoint(self.plan.graph.ancestors(name)):
                self._begun.add(name)
                self._begin(name)

    def _begin(self, stage: str) -> None:
        task = replace(self.plan, todo=[stage]).next_task()
        assert task is not None
        pieces = self._divide(task, self.plan.graph.stages[stage])
        if not pieces:
            self._ready.append(task)
            return
        recordings = {r.recording_id: r for r in task.recordings}
        self._whole[stage] = replace(task, pieces=pieces)
        self._missing[stage] = len(pieces)
        for piece in pieces:
            alone = (recordings[piece.recording_id],)
            self._ready.append(replace(task, recordings=alone, piece=piece))

    def _lose(self, stage: str, recording_id: str) -> None:
        """Give up the pieces of a recording that kills workers, but for those being made."""
        given_up = [
            task
            for task in self._ready
            if task.stage == stage and task.piece and task.piece.recording_id == recording_id
        ]
        for task in given_up:
            self._ready.remove(task)
            self._missing[stage] -= 1
        without = {task.piece for task in given_up}
        whole = self._whole[stage]
        pieces = tuple(piece for piece in whole.pieces if piece not in without)
        self._whole[stage] = replace(whole, pieces=pieces)

    def _join_if_made(self, stage: str) -> None:
        if self._missing[stage] == 0:
            self._ready.appendleft(self._whole.pop(stage))
