"""order: reserve, invoice, ship. The invoice is a separate workflow, which the order starts and waits for.

An invoice of more than a thousand waits up to a day for a signature. Without one the order fails, and the
reserved goods go back to the store. If you cancel the order while it waits, its invoice is cancelled too.

    infraweave run workflows.example/order.py --workflow order \
        --input '{"order_id": "o1", "lines": [{"sku": "pen", "count": 3, "cents": 120}]}'
"""

from __future__ import annotations

from attrs import frozen

from infraweave import NonRetryable, Workflow

STORE = {"pen": 500, "desk": 3}
#: A person must sign invoices above this many cents.
SIGN_ABOVE = 100_000


@frozen
class Line:
    sku: str
    count: int
    cents: int


@frozen
class Order:
    order_id: str
    lines: list[Line]


@frozen
class Bill:
    order_id: str
    cents: int


@frozen
class Signature:
    signed: bool


@frozen
class Invoice:
    number: str
    cents: int


invoice = Workflow("invoice", version="v1.0", input=Bill)


@invoice.router(routes=["signature"])
def must_be_signed(input: Bill) -> list[str]:
    return ["signature"] if input.cents > SIGN_ABOVE else []


@invoice.human_input(schema=Signature, timeout="24h")
def signature(input: Bill) -> str:
    return f"Sign the invoice of {input.cents / 100:.2f} for order {input.order_id}?"


@invoice.node(after=[must_be_signed])
async def issue(input: Bill, signature: Signature | None = None) -> Invoice:
    if signature is not None and not signature.signed:
        raise NonRetryable("the invoice was not signed")
    return Invoice(number=f"inv-{input.order_id}", cents=input.cents)


order = Workflow("order", version="v1.0", input=Order)


@order.map(over="lines_of_order")
async def reserve(line: Line) -> str:
    if line.count > STORE.get(line.sku, 0):
        raise NonRetryable(f"there are not {line.count} of {line.sku}")
    return f"{line.count} x {line.sku}"


@reserve.compensate
async def put_back(reserve: str) -> None: ...


@order.node
def lines_of_order(input: Order) -> list[Line]:
    return input.lines


@order.subworkflow(invoice, schema=Invoice, after=[reserve])
def bill(input: Order) -> Bill:
    return Bill(input.order_id, sum(line.count * line.cents for line in input.lines))


@order.node
async def ship(reserve: list[str], bill: Invoice) -> dict[str, object]:
    return {"parcel": reserve, "invoice": bill.number, "cents": bill.cents}
