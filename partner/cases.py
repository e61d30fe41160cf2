"""All certification cases, in the order in which they are run."""

from typing import Final

from partner.case import (
    Again,
    Amount,
    Ask,
    Case,
    Gets,
    Hostile,
    Mac,
    Meter,
    Need,
    Reaction,
    Terminal,
    Throw,
    Together,
    Wish,
    Words,
)
from partner.cases_money import BATCH_CASES, REVERSAL_CASES, TOTALS_CASES
from vending.response_code import ResponseCode

DONE: Final = ResponseCode.APPROVED
_ECHO: Final = Ask(wish=Wish.ECHO, gets=Gets(code=DONE, has_mac=False))
_SALE_HAS: Final = (15, 37, 38, 48, 62, 63)


def _recharge(gets: Gets, **more: object) -> Ask:
    return Ask(wish=Wish.RECHARGE, **{"amount": Amount.USUAL, "gets": gets, **more})  # type: ignore[arg-type]


def _sold(name: str = "", **more: object) -> Ask:
    return _recharge(Gets(code=DONE, has=_SALE_HAS, has_pins=True), name=name, **more)


FRAME_CASES: Final = (
    Case(
        id="FR-01",
        title=Words("Un mensaje que llega octeto por octeto", "A message that comes octet by octet"),
        why=Words("Una red móvil corta los mensajes donde quiere.", "A mobile network cuts messages where it likes."),
        steps=(Ask(wish=Wish.ECHO, gets=Gets(code=DONE, has_mac=False), in_pieces=True),),
    ),
    Case(
        id="FR-02",
        title=Words("Tres mensajes en una sola escritura", "Three messages in one write"),
        why=Words(
            "Un concentrador junta lo que muchos terminales piden a la vez.",
            "A concentrator joins what many terminals ask at once.",
        ),
        steps=(Together(asks=(_ECHO, _ECHO, _ECHO)),),
    ),
    Case(
        id="FR-03",
        title=Words("Trama de longitud cero", "A frame of length zero"),
        why=Words("Así se prueba una línea callada.", "It is how a quiet line is tried."),
        steps=(Throw(octets=Hostile.KEEP_ALIVE, gets=Reaction.KEEP_ALIVE), _ECHO),
    ),
    Case(
        id="FR-04",
        title=Words("Medio cierre tras el pedido", "Half-close behind the request"),
        why=Words("La respuesta aún tiene que llegar.", "The answer must still come."),
        steps=(Ask(wish=Wish.ECHO, gets=Gets(code=DONE, has_mac=False), is_half_closed=True),),
        needs=(Need.PLAIN,),
    ),
    Case(
        id="FR-05",
        title=Words("Mensaje cortado en una trama entera", "A message cut short in a whole frame"),
        why=Words(
            "Se rechaza con código y sin MAC, y la conexión sigue.",
            "It is refused with a code and no MAC, and the link lives.",
        ),
        steps=(_recharge(Gets(code=ResponseCode.FORMAT_ERROR, has_mac=False), cut=20), _ECHO),
        needs=(Need.NO_SIGN_ON,),
    ),
)

NETWORK_CASES: Final = (
    Case(
        id="NM-01",
        title=Words("Firma, eco y salida", "Sign-on, echo and sign-off"),
        why=Words("Con eso empieza y acaba cada enlace.", "Each link begins and ends so."),
        steps=(
            Ask(wish=Wish.SIGN_ON, gets=Gets(code=DONE, has_mac=False)),
            _ECHO,
            Ask(wish=Wish.SIGN_OFF, gets=Gets(code=DONE, has_mac=False)),
        ),
    ),
    Case(
        id="NM-02",
        title=Words("Código de red que nadie atiende", "A network code that nobody serves"),
        why=Words("Se contesta; no se calla.", "It is answered, not met with silence."),
        steps=(
            Ask(
                wish=Wish.UNKNOWN_NETWORK_CODE,
                gets=Gets(code=ResponseCode.UNSUPPORTED_PROCESSING_CODE, has_mac=None),
            ),
            _ECHO,
        ),
    ),
    Case(
        id="NM-03",
        title=Words("Venta después de la salida", "A sale after the sign-off"),
        why=Words(
            "Sin firma no se vende, y la red lo sabe por el código.",
            "Nothing is sold without a sign-on, and the code says so.",
        ),
        steps=(
            Ask(wish=Wish.SIGN_OFF, gets=Gets(code=DONE, has_mac=False)),
            _recharge(Gets(code=ResponseCode.NOT_SIGNED_ON, has_mac=None)),
            Ask(wish=Wish.SIGN_ON, gets=Gets(code=DONE, has_mac=False)),
            _sold(),
        ),
        needs=(Need.SIGN_ON, Need.RECHARGES),
    ),
)

INQUIRY_CASES: Final = (
    Case(
        id="IN-01",
        title=Words("Consulta de un medidor", "Inquiry about a meter"),
        why=Words("El cliente confirma su nombre antes de pagar.", "The customer confirms his name before he pays."),
        steps=(Ask(wish=Wish.INQUIRY, gets=Gets(code=DONE, has=(48,), has_pins=False)),),
    ),
    Case(
        id="IN-02",
        title=Words("Consulta con un valor", "Inquiry with an amount"),
        why=Words("Dice cuánto se compraría; no vende nada.", "It says what that would buy, and sells nothing."),
        steps=(Ask(wish=Wish.INQUIRY, amount=Amount.USUAL, gets=Gets(code=DONE, has=(48, 63), has_pins=False)),),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="IN-03",
        title=Words("Consulta de un medidor desconocido", "Inquiry about an unknown meter"),
        why=Words("Un número mal escrito se nota antes de pagar.", "A mistyped number is seen before money moves."),
        steps=(Ask(wish=Wish.INQUIRY, meter=Meter.UNKNOWN, gets=Gets(code=ResponseCode.METER_UNKNOWN)),),
    ),
)

SALE_CASES: Final = (
    Case(
        id="VE-01",
        title=Words("Recarga aprobada", "A recharge that is approved"),
        why=Words(
            "Trae el PIN, la cuenta, las líneas y el día contable, con su MAC.",
            "It has the PIN, the account, the lines and the settlement day, with its MAC.",
        ),
        steps=(_sold(),),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="VE-02",
        title=Words("Pago de deuda, sin PIN", "A payment to debts, without a PIN"),
        why=Words("Un pago no vende unidades.", "A payment buys no units."),
        steps=(
            Ask(
                wish=Wish.PAYMENT,
                meter=Meter.OWING,
                amount=Amount.SMALL,
                gets=Gets(code=DONE, has=(15, 37, 38, 48, 63), has_pins=False),
            ),
        ),
        needs=(Need.PAYMENTS, Need.OWING_METER),
    ),
)


def _refusal(
    number: str, title: Words, why: Words, code: ResponseCode, *needs: Need, has_mac: bool | None = True, **more: object
) -> Case:
    """A recharge that is refused, and the link lives on."""
    gets = Gets(code=code, has_mac=has_mac, has_pins=False)
    return Case(id=number, title=title, why=why, steps=(_recharge(gets, **more), _ECHO), needs=needs)


_BEFORE_MONEY: Final = Words(
    "Se rechaza antes de tomar dinero, y la red muestra por qué.",
    "It is refused before money is taken, and the network can say why.",
)
_NOT_LOOKED_AT: Final = Words(
    "Quien escribe en la línea no puede vender ni hacer firmar un rechazo.",
    "Who writes on the line can neither sell nor have a refusal signed.",
)
_CLIENT_ERROR: Final = Words(
    "El que programa el cliente ve su error en la primera prueba.",
    "Who writes the client sees his mistake in the first test.",
)

REFUSAL_CASES: Final = (
    _refusal(
        "RE-01",
        Words("Medidor desconocido", "Unknown meter"),
        _BEFORE_MONEY,
        ResponseCode.METER_UNKNOWN,
        Need.RECHARGES,
        meter=Meter.UNKNOWN,
    ),
    _refusal(
        "RE-02",
        Words("Medidor bloqueado", "Blocked meter"),
        _BEFORE_MONEY,
        ResponseCode.METER_BLOCKED,
        Need.RECHARGES,
        Need.BLOCKED_METER,
        meter=Meter.BLOCKED,
    ),
    _refusal(
        "RE-03",
        Words("Otro servicio que el del medidor", "Another service than the meter's"),
        _BEFORE_MONEY,
        ResponseCode.WRONG_SERVICE,
        Need.RECHARGES,
        Need.SEVERAL_SERVICES,
        sets={3: "50??00"},
    ),
    _refusal(
        "RE-04",
        Words("Servicio que la red no vende", "A service that the network does not sell"),
        _BEFORE_MONEY,
        ResponseCode.NOT_PERMITTED,
        Need.RECHARGES,
        Need.ONE_SERVICE,
        sets={3: "50!!00"},
    ),
    _refusal(
        "RE-05",
        Words("Valor menor que el mínimo", "Less than the least amount"),
        _BEFORE_MONEY,
        ResponseCode.AMOUNT_BELOW_MINIMUM,
        Need.RECHARGES,
        amount=Amount.BELOW,
    ),
    _refusal(
        "RE-06",
        Words("Valor mayor que el máximo", "More than the greatest amount"),
        _BEFORE_MONEY,
        ResponseCode.AMOUNT_ABOVE_MAXIMUM,
        Need.RECHARGES,
        amount=Amount.ABOVE,
    ),
    _refusal(
        "RE-07",
        Words("Obligación desconocida", "Unknown obligation"),
        _BEFORE_MONEY,
        ResponseCode.UNKNOWN_OBLIGATION,
        Need.RECHARGES,
        sets={48: "VO004nadaVA006100000"},
    ),
    _refusal(
        "RE-08",
        Words("Cupo insuficiente", "The float does not cover it"),
        Words("Nadie vende más de lo que depositó.", "Nobody sells more than he has deposited."),
        ResponseCode.FLOAT_SHORT,
        Need.RECHARGES,
        Need.SMALL_FLOAT,
        amount=Amount.BEYOND_FLOAT,
    ),
    _refusal(
        "RE-09",
        Words("Terminal bloqueado", "Blocked terminal"),
        Words("Un equipo robado no vende.", "A stolen terminal sells nothing."),
        ResponseCode.TERMINAL_BLOCKED,
        Need.RECHARGES,
        Need.BLOCKED_TERMINAL,
        terminal=Terminal.BLOCKED,
    ),
    _refusal(
        "RE-10",
        Words("Terminal no registrado", "A terminal that is not registered"),
        Words("Sólo vende quien está registrado.", "Only who is registered sells."),
        ResponseCode.TERMINAL_UNKNOWN,
        Need.RECHARGES,
        Need.UNKNOWN_TERMINAL,
        terminal=Terminal.UNKNOWN,
    ),
    _refusal(
        "RE-11",
        Words("MAC equivocado", "A wrong MAC"),
        _NOT_LOOKED_AT,
        ResponseCode.MAC_MISMATCH,
        has_mac=False,
        mac=Mac.WRONG,
    ),
    _refusal(
        "RE-12",
        Words("Sin MAC", "No MAC"),
        _NOT_LOOKED_AT,
        ResponseCode.MAC_MISMATCH,
        has_mac=False,
        mac=Mac.ABSENT,
    ),
    _refusal(
        "RE-13",
        Words("Falta el valor (elemento 4)", "The amount (element 4) is missing"),
        _CLIENT_ERROR,
        ResponseCode.FORMAT_ERROR,
        has_mac=None,
        lacks=(4,),
    ),
    _refusal(
        "RE-14",
        Words("Código de proceso no atendido", "A processing code that is not served"),
        _CLIENT_ERROR,
        ResponseCode.UNSUPPORTED_PROCESSING_CODE,
        has_mac=None,
        sets={3: "010000"},
    ),
    _refusal(
        "RE-15",
        Words("Tipo de mensaje no atendido", "An MTI that is not served"),
        _CLIENT_ERROR,
        ResponseCode.UNSUPPORTED_MESSAGE,
        has_mac=None,
        mti="0300",
    ),
    Case(
        id="RE-16",
        title=Words("Pago donde no se debe nada", "A payment where nothing is owed"),
        why=_BEFORE_MONEY,
        steps=(
            Ask(
                wish=Wish.PAYMENT,
                meter=Meter.CLEAR,
                amount=Amount.SMALL,
                gets=Gets(code=ResponseCode.NOTHING_OWED, has_pins=False),
            ),
        ),
        needs=(Need.PAYMENTS, Need.CLEAR_METER),
    ),
)

REPEAT_CASES: Final = (
    Case(
        id="RP-01",
        title=Words("La repetición recibe los mismos octetos", "A repeat gets the same octets"),
        why=Words(
            "Una respuesta perdida no puede ser otra venta ni otro PIN.",
            "A lost answer must not become another sale or another PIN.",
        ),
        steps=(
            _sold("sale"),
            _recharge(Gets(code=DONE, same_as="sale"), of="sale", again=Again.REPEAT),
            _recharge(Gets(code=DONE, same_as="sale"), of="sale", again=Again.REPEAT),
        ),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="RP-02",
        title=Words("La copia exacta recibe los mismos octetos", "A plain copy gets the same octets"),
        why=Words("Las líneas duplican mensajes.", "Lines duplicate messages."),
        steps=(_sold("sale"), _recharge(Gets(code=DONE, same_as="sale"), of="sale", again=Again.COPY)),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="RP-03",
        title=Words("La repetición llega antes que el pedido", "The repeat overtakes its first copy"),
        why=Words("Dos caminos, dos demoras.", "Two ways, two delays."),
        steps=(
            _recharge(Gets(code=DONE), name="sale", is_sent=False),
            _recharge(Gets(code=DONE, has=_SALE_HAS, has_pins=True), name="late", of="sale", again=Again.REPEAT),
            _recharge(Gets(code=DONE, same_as="late"), of="sale", again=Again.COPY),
        ),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="RP-04",
        title=Words("La misma llave con otro valor", "The same key with another amount"),
        why=Words(
            "Dos ventas distintas no pueden llevar el mismo nombre.", "Two different sales must not have one name."
        ),
        steps=(
            _sold("sale"),
            _recharge(
                Gets(code=ResponseCode.DUPLICATE_CONFLICT, has_pins=False),
                of="sale",
                again=Again.REPEAT,
                amount=Amount.OTHER,
            ),
            _recharge(Gets(code=DONE, same_as="sale"), of="sale", again=Again.REPEAT),
        ),
        needs=(Need.RECHARGES,),
    ),
    Case(
        id="RP-05",
        title=Words("Un rechazo se repite igual", "A refusal is repeated as it was"),
        why=Words("El cajero no puede recibir dos respuestas.", "A cashier must not be told two things."),
        steps=(
            _recharge(Gets(code=ResponseCode.METER_UNKNOWN), name="no", meter=Meter.UNKNOWN),
            _recharge(Gets(code=ResponseCode.METER_UNKNOWN, same_as="no"), of="no", again=Again.REPEAT),
        ),
        needs=(Need.RECHARGES,),
    ),
)

HOSTILE_CASES: Final = (
    *(
        Case(
            id=number,
            title=title,
            why=Words(
                "Un puerto abierto recibe de todo; nadie más lo nota.",
                "An open port gets anything; nobody else may notice.",
            ),
            steps=(Throw(octets=octets, gets=Reaction.CLOSED),),
            needs=(Need.PLAIN,),
        )
        for number, title, octets in (
            ("HO-01", Words("Un pedido HTTP cierra el enlace", "An HTTP request ends the link"), Hostile.HTTP),
            ("HO-02", Words("Un saludo TLS cierra el enlace", "A TLS hello ends the link"), Hostile.TLS),
            (
                "HO-03",
                Words("Una longitud imposible cierra el enlace", "An impossible length ends the link"),
                Hostile.TOO_LONG,
            ),
        )
    ),
    Case(
        id="HO-04",
        title=Words("Después de todo, el puerto sigue", "After all that the port serves"),
        why=Words("Lo anterior no tocó a los demás.", "Nobody else was touched."),
        steps=(_ECHO,),
    ),
)

CASES: Final = (
    *FRAME_CASES,
    *NETWORK_CASES,
    *INQUIRY_CASES,
    *SALE_CASES,
    *REFUSAL_CASES,
    *REPEAT_CASES,
    *REVERSAL_CASES,
    *BATCH_CASES,
    *TOTALS_CASES,
    *HOSTILE_CASES,
)
"""Totals come behind everything that sells: they are held to what was sold in all cases before them."""
