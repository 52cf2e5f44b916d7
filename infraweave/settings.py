"""The settings of the server, made from command-line options and environment variables."""

from __future__ import annotations

from infraweave.core.lazy_records import frozen


@frozen(kw_only=True)
class Settings:
    """All settings. Times are in seconds, sizes in bytes."""

    #: Runs that may execute at once; waiting runs hold no slot.
    max_running: int = 1_000
    #: Runs that may be queued, for a slot or a concurrency group, before starts get a 429. With several
    #: tenants, each may queue as many as there are places left, so that none can fill the queue. Delayed
    #: starts do not count until their time has come, and are never refused then.
    max_queued: int = 100_000
    #: Threads for sync node bodies.
    threads: int = 32
    #: Threads that replace lost ones, whose bodies did not return when their time was over.
    lost_threads: int = 32
    #: How long an attempt waits for the body of an earlier one that did not stop, before its node fails.
    stuck_after: float = 300.0
    #: How long an async body may block the event loop before the log names it; 0: for ever.
    slow_body: float = 0.1
    #: HTTP requests of nodes at once; further ones wait in order, before their timeout starts.
    max_calls: int = 200
    #: How long a stopped body may clean up, and a shutdown waits for bodies.
    grace: float = 10.0
    #: Largest request body (4 MiB, the contract's default).
    max_body: int = 4 * 1024 * 1024
    #: Deepest nesting of a request body (the contract's default).
    max_depth: int = 64
    #: Seconds between heartbeat comments on an idle event stream (the contract's).
    heartbeat: float = 15.0
    #: How long the reader of a stream may read nothing before the stream is closed.
    write_stall: float = 30.0
    #: The longest text (in characters) and the longest list in a request body.
    max_string: int = 4 * 1024 * 1024
    max_list: int = 250_000
    #: The number of a run's tags, and their longest key and value.
    max_tags: int = 64
    max_tag_key: int = 128
    max_tag_value: int = 1_024
    #: The largest output of a node, as JSON; a larger one fails its node.
    max_output: int = 1024 * 1024
    #: Open event streams, in all and of one principal.
    max_streams: int = 10_000
    max_streams_per_principal: int = 8_000
    #: Requests of one token per second on average, and at once after a pause.
    requests_per_second: float = 2_000.0
    request_burst: int = 10_000
    #: How long audit rows are kept, and how many at most; denials of unknown callers count separately.
    audit_keep: float = 365 * 86_400.0
    audit_rows: int = 1_000_000
    audit_strangers: int = 100_000
    #: For all callers without a valid token: connections, beyond which the oldest is closed, and bytes of
    #: request bodies in memory, beyond which further ones are refused.
    max_unauthenticated_connections: int = 5_000
    max_unauthenticated_bytes: int = 64 * 1024 * 1024
    #: Host names that requests may use, besides loopback and the one that the server listens on.
    allow_hosts: tuple[str, ...] = ()
    #: Origins of web pages that may read answers, exactly as browsers send them.
    allow_origins: tuple[str, ...] = ()
    #: Whether schedules start runs.
    schedules: bool = True
    #: SQLite connections for reading.
    readers: int = 3
    #: How long finished runs are kept after their end; None: for ever.
    keep: float | None = 30 * 86_400.0
    #: How many finished runs are kept, those that ended last; children do not count; None: all.
    keep_runs: int | None = None
    #: Bytes of the database in use above which finished runs are removed; None: no limit.
    keep_bytes: int | None = None
    #: Whether removal trusts the clock at the start, however far it has leapt since the file was last served.
    #: Later leaps are trusted after a day.
    trust_clock: bool = False
    #: What http nodes may call besides public addresses: HOST, HOST:PORT, an address or a CIDR.
    allow_outbound: tuple[str, ...] = ()
    #: A PEM file of certificates that http nodes trust besides the public ones.
    outbound_ca: str | None = None
    #: The secrets that http nodes may use, and where they may send them: [TENANT:]NAME@HOST.
    secrets: tuple[str, ...] = ()
    #: The folder of secret files, each named like its secret; environment variables take precedence.
    secret_files: str | None = None
