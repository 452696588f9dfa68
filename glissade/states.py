"""`optimizer.state`: a dict that notices when an entry of it is replaced."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Mapping
from typing import Any


class States(defaultdict):  # type: ignore[type-arg]
    """`optimizer.state`. Kernels keep the addresses of states, so whoever puts another tensor in
    a state's place (after loading, say, or to reset it) sets `stale`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(dict, *args)
        self.stale = True

    def __setitem__(self, key: Any, value: Any) -> None:
        self.stale = True
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        self.stale = True
        super().__delitem__(key)

    def clear(self) -> None:
        self.stale = True
        super().clear()

    def pop(self, *args: Any) -> Any:
        self.stale = True
        return super().pop(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self.stale = True
        super().update(*args, **kwargs)

    def __reduce__(self) -> Any:
        return defaultdict, (dict, {p: dict(state) for p, state in self.items()})


class ParamState(dict[str, Any]):
    """The state of one parameter; tells its States when an entry is replaced."""

    def __init__(self, owner: States, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        # Weakly: in a ring, states would wait for the garbage collector to go.
        self._owner = weakref.ref(owner)

    def _changed(self) -> None:
        owner = self._owner()
        if owner is not None:
            owner.stale = True

    def __setitem__(self, key: str, value: Any) -> None:
        self._changed()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._changed()
        super().__delitem__(key)

    def clear(self) -> None:
        self._changed()
        super().clear()

    def pop(self, *args: Any) -> Any:
        self._changed()
        return super().pop(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._changed()
        super().update(*args, **kwargs)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)
