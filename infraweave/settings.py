"""Every setting of the server, in one frozen value made from flags and environment at the edge."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Settings:
    """What can be set. Times in seconds, sizes in bytes."""

    #: Runs that may execute at once; runs that wait hold no slot.
    max_running: int = 1_000
    #: Runs that may be queued, for a slot or for a lane, before a start is answered 429; where there are
    #: several tenants, each may queue as many as there are places left, so that none can fill the queue.
    #: Delayed starts do not count until their time has come, and are never refused then.
    max_queued: int = 100_000
    #: Threads for sync node bodies.
    threads: int = 32
    #: Threads that take the place of lost ones, whose bodies did not return when their time was over.
    lost_threads: int = 32
    #: How long an attempt waits for the body of an earlier one that did not stop; then its node fails.
    stuck_after: float = 300.0
    #: Seconds for which an async body may hold the event loop before the log names it; 0: for ever.
    slow_body: float = 0.1
    #: Requests of http nodes that are under way at once; others wait in order, before their time counts.
    max_calls: int = 200
    #: How long a stopped body may clean up, and how long a shutdown waits for bodies.
    grace: float = 10.0
    #: Largest request body (4 MiB, the contract's default).
    max_body: int = 4 * 1024 * 1024
    #: Deepest nesting of a request body (the contract's default).
    max_depth: int = 64
    #: Seconds between heartbeat comments on an idle event stream (the contract's).
    heartbeat: float = 15.0
    #: How long a reader of a stream may take nothing before it is cut.
    write_stall: float = 30.0
    #: Longest text (characters), and longest list, anywhere in a request body.
    max_string: int = 4 * 1024 * 1024
    max_list: int = 250_000
    #: Tags of a run: how many, and the longest key and value.
    max_tags: int = 64
    max_tag_key: int = 128
    max_tag_value: int = 1_024
    #: Largest output of a node, as JSON; a larger one fails its attempt for good.
    max_output: int = 1024 * 1024
    #: Event streams open at once, and of one principal.
    max_streams: int = 10_000
    max_streams_per_principal: int = 8_000
    #: Requests that one token may make in a second, on average; and at once, after a pause.
    requests_per_second: float = 2_000.0
    request_burst: int = 10_000
    #: How long the audit log is kept, and how many rows of it at most; denials of callers without a token
    #: count apart.
    audit_keep: float = 365 * 86_400.0
    audit_rows: int = 1_000_000
    audit_strangers: int = 100_000
    #: Of callers without a valid token, all together: connections, beyond which the oldest is closed, and
    #: bytes of bodies in memory, beyond which more are refused.
    max_unauthenticated_connections: int = 5_000
    max_unauthenticated_bytes: int = 64 * 1024 * 1024
    #: Host names by which the server may be asked, beside loopback's and the one it listens on.
    allow_hosts: tuple[str, ...] = ()
    #: Origins of web pages that may read answers, exactly as browsers spell them; by default none.
    allow_origins: tuple[str, ...] = ()
    #: Whether schedules start runs.
    schedules: bool = True
    #: SQLite connections for reading.
    readers: int = 3
    #: How long finished runs stay, in seconds after their end; None: for ever.
    keep: float | None = 30 * 86_400.0
    #: How many finished runs stay, those that ended last, children not counted; None: all.
    keep_runs: int | None = None
    #: Bytes in use of the database above which finished runs are removed; None: whatever it takes.
    keep_bytes: int | None = None
    #: Whether removal believes the clock as it is at the start, however far it has leapt since the file was
    #: served last; later leaps are believed once they have stood for a day.
    trust_clock: bool = False
    #: What http nodes may call beside public addresses: HOST, HOST:PORT, an address or a CIDR.
    allow_outbound: tuple[str, ...] = ()
    #: A file of certificates that http nodes trust beside the public ones, PEM.
    outbound_ca: str | None = None
    #: The secrets that http nodes may use, and where they may send them: [TENANT:]NAME@HOST.
    secrets: tuple[str, ...] = ()
    #: The folder of their files, each named like its secret; those of the environment come first.
    secret_files: str | None = None
