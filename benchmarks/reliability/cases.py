"""An operation prepared in one place, and what must hold there after an interruption."""

from dataclasses import dataclass

from benchmarks.reliability.children import expect_done, in_child, undisturbed
from benchmarks.reliability.faults import Control
from benchmarks.reliability.operations import Operation
from benchmarks.reliability.places import Bucket, Folders
from benchmarks.reliability.states import HALF, State, digest


@dataclass
class Case:
    """An operation in a place.

    Args:
        operation: the operation.
        base: where it starts, prepared; trials run on copies.
        calls: number of calls that change files when nobody disturbs it.
        before: what readers see of `base`.
        after: what readers see when nobody disturbed it.
    """

    operation: Operation
    base: str
    calls: int
    before: State
    after: State

    def spread(self, most: int) -> list[int]:
        """Returns up to `most` of its calls, counted from 1 and evenly spread; all for 0."""
        if not most or self.calls <= most:
            return list(range(1, self.calls + 1))
        if most == 1:
            return [self.calls]
        return sorted({1 + round(place * (self.calls - 1) / (most - 1)) for place in range(most)})

    def judge(self, where: str) -> str:
        """Returns what does not hold after an interruption, "" if all does; runs the operation again."""
        operation = self.operation
        kind, state = in_child(lambda: operation.state(where))
        if kind != "done":
            return f"readers fail: {state}"
        wrong = self._between(state)
        kind, told = in_child(lambda: operation.act(where))
        if kind != "done":
            return wrong or f"run again: {kind} {told}"
        kind, state = in_child(lambda: operation.state(where))
        if kind != "done":
            return wrong or f"run again, readers fail: {state}"
        differ = [item for item in {*state, *self.after} if state.get(item) != self.after.get(item)][:3]
        return wrong or (f"run again, it ends otherwise: {differ}" if differ else "")

    def judge_full(self, where: str, kind: str, told: str) -> str:
        """Returns what does not hold after a full disk, on which an operation may only end with an error of ours."""
        wrong = self.judge(where)
        return wrong if kind in ("done", "told") else wrong or f"{kind} {told}"

    def _between(self, state: State) -> str:
        """Returns what is wrong with what readers see, "" if it is of before or of after."""
        if state in (self.before, self.after):
            return ""
        if self.operation.whole:
            return "readers see the middle"
        state = {item: of for item, of in state.items() if item != HALF}
        for item in {*state, *self.before, *self.after}:
            if state.get(item) not in (self.before.get(item), self.after.get(item)):
                return f"readers see {item} as it never was"
        return ""


def prepare(operation: Operation, at: Folders | Bucket, control: Control) -> Case:
    """Returns an operation prepared in a place, after one run that nobody disturbed."""
    name, base = operation.name, at.named(digest(operation.name)[:6])
    undisturbed(name, lambda: operation.prepare(base))
    before = undisturbed(name, lambda: operation.state(base))
    where = at.copy(base, f"{base}-whole")
    kind, told, calls = control.run(lambda: operation.act(where))
    expect_done(name, kind, told)
    after = undisturbed(name, lambda: operation.state(where))
    at.remove(where)
    return Case(operation, base, calls, before, after)
