"""checkout-flow: reserve stock, let a person approve, charge and ship; undo everything if a step fails.

The shop is a real SQLite file, so stock and payments survive restarts and you can inspect them. CHECKOUT_SHOP
sets its path. The payment gateway is an offline stand-in. Like a real gateway, it has test cards that fail on
purpose: ``card_flaky`` times out twice before it works, and ``card_declined`` never works.

    infraweave run workflows.example/checkout.py --input '{"order_id": "ord_1", "customer_tier": "standard"}'
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from attrs import Factory, frozen

from infraweave import Context, NonRetryable, Retry, Workflow

SHOP = Path(os.environ.get("CHECKOUT_SHOP", Path(tempfile.gettempdir()) / "infraweave-shop.db"))
SCHEMA = """
CREATE TABLE IF NOT EXISTS stock(sku TEXT PRIMARY KEY, price_cents INTEGER, on_hand INTEGER);
CREATE TABLE IF NOT EXISTS reservations(order_id, sku, quantity INTEGER, PRIMARY KEY(order_id, sku));
CREATE TABLE IF NOT EXISTS payments(key TEXT PRIMARY KEY, order_id, cents INTEGER, tries INTEGER, state TEXT);
CREATE TABLE IF NOT EXISTS shipments(order_id TEXT PRIMARY KEY, lines INTEGER);
INSERT OR IGNORE INTO stock VALUES ('chair', 12900, 100000), ('desk', 44900, 100000), ('lamp', 3900, 100000);
"""
#: A person must approve orders above this, whatever the tier.
APPROVAL_ABOVE_CENTS = 100_000


@frozen
class Line:
    sku: Literal["chair", "desk", "lamp"]
    quantity: int = 1


@frozen
class Order:
    order_id: str
    customer_tier: Literal["standard", "premium", "enterprise"]
    lines: list[Line] = Factory(lambda: [Line("chair")])
    card: str = "card_ok"


@frozen
class Reservation:
    order_id: str
    total_cents: int


@frozen
class Decision:
    approved: bool
    note: str = ""


@frozen
class Payment:
    payment_id: str
    cents: int


@contextmanager
def shop() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(SHOP, timeout=10, isolation_level=None)) as db:
        db.executescript(SCHEMA)
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")


flow = Workflow("checkout-flow", version="v2.4", input=Order)


@flow.node(timeout="10s")
def reserve(input: Order) -> Reservation:
    """Take the lines out of stock. A repeated call replaces the earlier reservation of this order."""
    with shop() as db:
        put_back(db, input.order_id)
        total = 0
        for line in input.lines:
            price, on_hand = db.execute(
                "SELECT price_cents, on_hand FROM stock WHERE sku = ?", (line.sku,)
            ).fetchone()
            if on_hand < line.quantity:
                raise NonRetryable(f"only {on_hand} of {line.sku} left, {line.quantity} ordered")
            db.execute("UPDATE stock SET on_hand = on_hand - ? WHERE sku = ?", (line.quantity, line.sku))
            db.execute(
                "INSERT INTO reservations VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET quantity = quantity + excluded.quantity",
                (input.order_id, line.sku, line.quantity),
            )
            total += price * line.quantity
    return Reservation(input.order_id, total)


@reserve.compensate
def release(reserve: Reservation) -> None:
    with shop() as db:
        put_back(db, reserve.order_id)


def put_back(db: sqlite3.Connection, order_id: str) -> None:
    for sku, quantity in db.execute("SELECT sku, quantity FROM reservations WHERE order_id = ?", (order_id,)):
        db.execute("UPDATE stock SET on_hand = on_hand + ? WHERE sku = ?", (quantity, sku))
    db.execute("DELETE FROM reservations WHERE order_id = ?", (order_id,))


@flow.router(routes=["auto_approve", "approval"])
def triage(reserve: Reservation, input: Order) -> str:
    """Let a person check large orders and those of enterprise customers, who buy on account."""
    if input.customer_tier == "enterprise" or reserve.total_cents > APPROVAL_ABOVE_CENTS:
        return "approval"
    return "auto_approve"


@flow.node
async def auto_approve(reserve: Reservation) -> Decision:
    return Decision(approved=True, note=f"{reserve.total_cents / 100:.2f} USD is within the limit")


@flow.human_input(schema=Decision, timeout="48h")
def approval(reserve: Reservation) -> str:
    return f"Approve {reserve.order_id} for {reserve.total_cents / 100:.2f} USD?"


@flow.node(retry=Retry(max_attempts=5, initial=0.2, maximum=5.0), timeout="10s")
def charge(
    reserve: Reservation,
    input: Order,
    auto_approve: Decision | None = None,
    approval: Decision | None = None,
    *,
    ctx: Context,
) -> Payment:
    decision = approval or auto_approve
    if decision is None or not decision.approved:
        raise NonRetryable(f"the order was not approved: {decision.note if decision else 'nobody decided'}")
    return pay(ctx.idempotency_key, reserve, input.card)


@charge.compensate
def refund(charge: Payment) -> None:
    with shop() as db:
        db.execute("UPDATE payments SET state = 'refunded' WHERE key = ?", (charge.payment_id,))


def pay(key: str, reservation: Reservation, card: str) -> Payment:
    """Stand in for the payment gateway: charge each key once, however often this is called."""
    with shop() as db:
        order_id, cents = reservation.order_id, reservation.total_cents
        db.execute("INSERT OR IGNORE INTO payments VALUES (?, ?, ?, 0, 'new')", (key, order_id, cents))
        db.execute("UPDATE payments SET tries = tries + 1 WHERE key = ?", (key,))
        (tries,) = db.execute("SELECT tries FROM payments WHERE key = ?", (key,)).fetchone()
        works = card != "card_declined" and not (card == "card_flaky" and tries < 3)
        if works:
            db.execute("UPDATE payments SET state = 'paid' WHERE key = ?", (key,))
    if card == "card_declined":
        raise NonRetryable("the card was declined")
    if not works:
        raise TimeoutError("the payment gateway did not answer")
    return Payment(key, cents)


@flow.node
def ship(charge: Payment, input: Order) -> dict[str, object]:
    lines = sum(line.quantity for line in input.lines)
    with shop() as db:
        db.execute("INSERT OR REPLACE INTO shipments VALUES (?, ?)", (input.order_id, lines))
        db.execute("DELETE FROM reservations WHERE order_id = ?", (input.order_id,))
    return {"order_id": input.order_id, "paid_cents": charge.cents, "parcels": lines}
