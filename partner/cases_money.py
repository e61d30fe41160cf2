"""Certification cases of what comes after a sale: reversals, questions, advices, batches, totals."""

from typing import Final

from partner.case import Again, Amount, Ask, Case, Gets, Meter, Need, Sums, Terminal, Wish, Words
from vending.response_code import ResponseCode

DONE: Final = ResponseCode.APPROVED
_SALE: Final = Ask(wish=Wish.RECHARGE, amount=Amount.USUAL, name="sale", gets=Gets(code=DONE, has_pins=True))
_NEVER_SENT: Final = Ask(wish=Wish.RECHARGE, amount=Amount.USUAL, name="sale", gets=Gets(code=DONE), is_sent=False)
_UNKNOWN: Final = Gets(code=ResponseCode.ORIGINAL_NOT_FOUND, has_pins=False)

REVERSAL_CASES: Final = (
    Case(
        id="RV-01",
        title=Words("Reverso de una venta hecha: queda en pie", "Reversal of a sale that was made: it stands"),
        why=Words(
            "El PIN puede estar en manos del cliente; la respuesta lo trae de nuevo.",
            "The customer may hold the PIN; the answer carries it again.",
        ),
        steps=(
            _SALE,
            Ask(
                wish=Wish.REVERSAL,
                of="sale",
                name="reversal",
                gets=Gets(code=ResponseCode.SALE_STANDS, has=(15, 38, 62), pins_of="sale"),
            ),
            Ask(
                wish=Wish.REVERSAL,
                of="reversal",
                again=Again.REPEAT,
                gets=Gets(code=ResponseCode.SALE_STANDS, same_as="reversal"),
            ),
        ),
        needs=(Need.RECHARGES, Need.STANDS),
    ),
    Case(
        id="RV-02",
        title=Words("Reverso de una venta hecha: se guarda el PIN", "Reversal of a sale that was made: it is parked"),
        why=Words(
            "El dinero vuelve y el PIN espera en su medidor.", "The money goes back and the PIN waits on its meter."
        ),
        steps=(
            _SALE,
            Ask(wish=Wish.REVERSAL, of="sale", name="reversal", gets=Gets(code=DONE, has_pins=False)),
            Ask(wish=Wish.REVERSAL, of="reversal", again=Again.REPEAT, gets=Gets(code=DONE, same_as="reversal")),
        ),
        needs=(Need.RECHARGES, Need.PARKED),
    ),
    Case(
        id="RV-03",
        title=Words("Reverso de una venta que no llegó", "Reversal of a sale that never came"),
        why=Words(
            "Si la venta llega después ya no se hace: el cliente recibió su dinero.",
            "If the sale still comes it is not made: the customer has his money.",
        ),
        steps=(
            _NEVER_SENT,
            Ask(wish=Wish.REVERSAL, of="sale", gets=_UNKNOWN),
            Ask(
                wish=Wish.RECHARGE,
                of="sale",
                again=Again.COPY,
                gets=Gets(code=ResponseCode.DUPLICATE_CONFLICT, has_pins=False),
            ),
        ),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="RV-04",
        title=Words("Reverso de una venta rechazada", "Reversal of a sale that was declined"),
        why=Words("No había nada que deshacer.", "There was nothing to undo."),
        steps=(
            Ask(
                wish=Wish.RECHARGE,
                meter=Meter.UNKNOWN,
                amount=Amount.USUAL,
                name="sale",
                gets=Gets(code=ResponseCode.METER_UNKNOWN),
            ),
            Ask(wish=Wish.REVERSAL, of="sale", gets=Gets(code=DONE, has_pins=False)),
        ),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="UR-01",
        title=Words("Última respuesta: el mismo PIN", "Last answer: the same PIN"),
        why=Words("Así se reimprime un tiquete, como copia.", "It is how a ticket is printed again, as a copy."),
        steps=(
            _SALE,
            Ask(
                wish=Wish.LAST_ANSWER,
                of="sale",
                gets=Gets(code=DONE, has=(15, 38, 48, 62, 63), pins_of="sale"),
            ),
        ),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="UR-02",
        title=Words("Última respuesta de una venta que no llegó", "Last answer about a sale that never came"),
        why=Words("No se inventa una venta.", "No sale is invented."),
        steps=(_NEVER_SENT, Ask(wish=Wish.LAST_ANSWER, of="sale", gets=_UNKNOWN)),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="AV-01",
        title=Words("Aviso de entrega, y su repetición", "Delivery advice, and its repeat"),
        why=Words("La empresa sabe quién se fue con su PIN.", "The utility knows who went away with his PIN."),
        steps=(
            _SALE,
            Ask(wish=Wish.ADVICE, of="sale", name="advice", gets=Gets(code=DONE, has_pins=False)),
            Ask(wish=Wish.ADVICE, of="advice", again=Again.REPEAT, gets=Gets(code=DONE, same_as="advice")),
        ),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="AV-02",
        title=Words("Aviso de una venta que no llegó", "Advice about a sale that never came"),
        why=Words("Nadie confirma lo que no se vendió.", "Nobody confirms what was not sold."),
        steps=(_NEVER_SENT, Ask(wish=Wish.ADVICE, of="sale", gets=_UNKNOWN)),
        needs=(Need.RECHARGES,),
    ),
)

BATCH_CASES: Final = (
    Case(
        id="LO-01",
        title=Words("Lote de pagos sin línea, y el mismo otra vez", "A batch of offline payments, and the same again"),
        why=Words(
            "Cada pago se hace una vez, aunque el lote llegue dos.",
            "Each payment is made once, though the batch comes twice.",
        ),
        steps=(
            Ask(
                wish=Wish.BATCH,
                meter=Meter.OWING,
                amount=Amount.SMALL,
                name="batch",
                gets=Gets(code=DONE, has=(48,), has_pins=False),
            ),
            Ask(wish=Wish.BATCH, of="batch", again=Again.REPEAT, gets=Gets(code=DONE, same_as="batch")),
        ),
        needs=(Need.BATCHES, Need.PAYMENTS, Need.OWING_METER),
    ),
)

_DIFFER: Final = Gets(code=ResponseCode.TOTALS_DIFFER, has=(15, 48, 76, 77, 88, 89, 97))
_AGREE: Final = Gets(code=DONE, has=(15, 48, 76, 77, 88, 89, 97))

TOTALS_CASES: Final = (
    Case(
        id="TO-01",
        title=Words("Totales iguales del terminal", "Totals of the terminal that agree"),
        why=Words(
            "Lo vendido en estas pruebas es lo que dicen los libros.", "What these cases sold is what the books say."
        ),
        steps=(Ask(wish=Wish.TOTALS, gets=_AGREE),),
    ),
    Case(
        id="TO-02",
        title=Words("Totales distintos del terminal", "Totals of the terminal that differ"),
        why=Words("La respuesta trae los nuestros y la diferencia.", "The answer carries ours and the difference."),
        steps=(
            Ask(wish=Wish.TOTALS, sums=Sums.WRONG, name="totals", gets=_DIFFER),
            Ask(
                wish=Wish.TOTALS,
                of="totals",
                again=Again.REPEAT,
                gets=Gets(code=ResponseCode.TOTALS_DIFFER, same_as="totals"),
            ),
        ),
    ),
    Case(
        id="TO-03",
        title=Words(
            "Totales de la red por quien no la representa", "Totals of the network by who does not speak for it"
        ),
        why=Words("Un cajero no ve lo que vende toda la red.", "A till does not see what the whole network sells."),
        steps=(Ask(wish=Wish.NETWORK_TOTALS, gets=Gets(code=ResponseCode.TERMINAL_BLOCKED)),),
    ),
    Case(
        id="TO-04",
        title=Words("Totales de la red", "Totals of the network"),
        why=Words("Con ellos concilia la red cada noche.", "The network reconciles with them each night."),
        steps=(
            Ask(wish=Wish.NETWORK_TOTALS, terminal=Terminal.SPEAKER, sums=Sums.WRONG, gets=_DIFFER),
            Ask(wish=Wish.NETWORK_TOTALS, terminal=Terminal.SPEAKER, gets=_AGREE),
        ),
        needs=(Need.SPEAKER,),
    ),
    Case(
        id="CC-01",
        title=Words("Cambio de día por quien no representa la red", "Cut-over by who does not speak for the network"),
        why=Words("Decide en qué día queda el dinero de todos.", "It decides on which day everybody's money stands."),
        steps=(Ask(wish=Wish.CUT_OVER, gets=Gets(code=ResponseCode.TERMINAL_BLOCKED)),),
    ),
    Case(
        id="CC-02",
        title=Words("Cambio de día, y otra vez", "Cut-over, and again"),
        why=Words("La red cierra su día antes de medianoche.", "The network closes its day before midnight."),
        steps=(
            Ask(wish=Wish.CUT_OVER, terminal=Terminal.SPEAKER, gets=Gets(code=DONE)),
            Ask(wish=Wish.CUT_OVER, terminal=Terminal.SPEAKER, gets=Gets(code=DONE)),
        ),
        needs=(Need.SPEAKER, Need.CUT_OVER),
    ),
)
