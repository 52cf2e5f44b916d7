"""What a workflow declares the server to call by itself: ``flow.http``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from infraweave.authoring.declarations import DEFAULT, Declaration, Named, Wait
from infraweave.core.data.values import Duration
from infraweave.core.workflow.document import Retry

#: ``any``: a race.
Join: TypeAlias = Literal["all", "any"]


class Calls(ABC):
    """The part of a Workflow that declares calls over HTTP."""

    @abstractmethod
    def _declared(self, declaration: Declaration) -> Wait:
        """Record a node that has no function."""

    def http(
        self,
        name: str,
        *,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        output: Any = "/body",
        accept: Sequence[int] = (),
        follow_redirects: int = 0,
        max_bytes: int = 1_048_576,
        after: Sequence[Named] = (),
        join: Join = "all",
        retry: Retry | None = DEFAULT,
        timeout: Duration = 30.0,
    ) -> Wait:
        """Declare a call over HTTP, made by the server itself within its outbound guard.

        Texts of url, headers, query and body have places, ``{input.id}``: the first name of each is ``input``
        or a node, to which it makes an edge. ``output`` is a JSON Pointer into the response's status, headers
        and body, or a template over these; ``accept`` lists the statuses that are a success (by default 200
        to 299).
        """
        request = {
            "method": method,
            "url": url,
            "headers": headers or {},
            "query": query or {},
            "body": body,
            "output": output,
            "accept": accept,
            "follow_redirects": follow_redirects,
            "max_bytes": max_bytes,
        }
        return self._declared(
            Declaration(
                "http", str(name), after=after, join=join, retry=retry, timeout=timeout, request=request
            )
        )
