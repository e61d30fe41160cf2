"""What the datáfono says, in Spanish and English: titles, labels, and a sentence for every answer code."""

from dataclasses import dataclass, fields

SPANISH = "es"
ENGLISH = "en"
LANGUAGES = (SPANISH, ENGLISH)


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityTexts:
    """What the utility wants on every ticket.

    Attributes:
        name: trade name with its legal form.
        tax_id: NIT with its check digit, without the letters NIT.
        complaints_line: where petitions, complaints and claims (PQR) are taken.
        header: lines below the name.
        footer: lines at the end.
    """

    name: str
    tax_id: str
    complaints_line: str
    header: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketWords:
    """The fixed words of the paper."""

    recharge: str
    payment: str
    inquiry: str
    copy: str
    receipt: str
    issued_at: str
    point_of_sale: str
    terminal: str
    approval: str
    meter: str
    account: str
    holder: str
    address: str
    stratum: str
    user_class: str
    service: str
    paid: str
    carried_in: str
    claimed: str
    claimed_units: str
    deductions: str
    charge: str
    emergency: str
    obligation: str
    voluntary: str
    more: str
    interest: str
    capital: str
    left: str
    consumption: str
    rate: str
    value: str
    full_rate: str
    full_cost: str
    subsidy: str
    contribution: str
    charged: str
    carried_out: str
    total_units: str
    month_to_date: str
    pin: str
    pins: str
    enter_pin: str
    enter_pins: str
    key_change_first: str
    key_change_pins: str
    key_change_then: str
    enter_key_change: str
    owed: str
    overdue: str
    minimum: str
    maximum: str
    would_buy: str
    supervised: str
    services: tuple[str, str, str]
    user_classes: tuple[tuple[str, str], ...]


_WORDS = {
    SPANISH: TicketWords(
        recharge="RECARGA DE {service}",
        payment="PAGO DE OBLIGACIONES",
        inquiry="CONSULTA",
        copy="COPIA",
        receipt="Recibo",
        issued_at="Fecha",
        point_of_sale="Punto de venta",
        terminal="Datáfono",
        approval="Aprobación",
        meter="Medidor",
        account="Cuenta",
        holder="Nombre",
        address="Dirección",
        stratum="Estrato",
        user_class="Clase de uso",
        service="Servicio",
        paid="VALOR PAGADO",
        carried_in="Saldo a favor anterior",
        claimed="PIN guardado de venta anulada",
        claimed_units="consumo de ese PIN",
        deductions="DEUDAS Y CARGOS",
        charge="Cargo",
        emergency="Precarga",
        obligation="Deuda",
        voluntary="Abono voluntario",
        more="Otros conceptos",
        interest="intereses",
        capital="capital",
        left="saldo pendiente",
        consumption="CONSUMO",
        rate="TARIFA",
        value="VALOR",
        full_rate="plena",
        full_cost="Costo pleno",
        subsidy="Subsidio (-)",
        contribution="Contribución (+)",
        charged="Valor {service}",
        carried_out="Saldo a favor próxima compra",
        total_units="TOTAL",
        month_to_date="Acumulado del mes",
        pin="PIN",
        pins="PIN {number} DE {count}",
        enter_pin="Digite los 20 números en el medidor.",
        enter_pins="Digite los PIN en este orden.",
        key_change_first="PRIMERO digite estos códigos de cambio de clave, en orden, luego la recarga",
        key_change_pins="CAMBIO DE CLAVE {number} DE {count}",
        key_change_then="DESPUÉS digite la recarga",
        enter_key_change="Antes del cambio de clave digite los PIN anteriores que no haya usado: después ya no sirven.",
        owed="Deuda total",
        overdue="Deuda en mora",
        minimum="Recarga mínima",
        maximum="Recarga máxima",
        would_buy="CON {paid} RECIBE",
        supervised="Vigilada por la Superintendencia de Servicios Públicos Domiciliarios (SSPD)",
        services=("energía", "agua", "gas"),
        user_classes=(
            ("residential", "residencial"),
            ("commercial", "comercial"),
            ("official", "oficial"),
            ("industrial", "industrial"),
            ("industrial-exempt", "industrial exento"),
        ),
    ),
    ENGLISH: TicketWords(
        recharge="{service} RECHARGE",
        payment="PAYMENT OF OBLIGATIONS",
        inquiry="INQUIRY",
        copy="COPY",
        receipt="Receipt",
        issued_at="Date",
        point_of_sale="Point of sale",
        terminal="Terminal",
        approval="Approval",
        meter="Meter",
        account="Account",
        holder="Name",
        address="Address",
        stratum="Stratum",
        user_class="Class of use",
        service="Service",
        paid="PAID",
        carried_in="Credit carried in",
        claimed="Kept PIN of an undone sale",
        claimed_units="units of that PIN",
        deductions="DEBTS AND CHARGES",
        charge="Charge",
        emergency="Emergency credit",
        obligation="Debt",
        voluntary="Voluntary payment",
        more="Other items",
        interest="interest",
        capital="capital",
        left="balance left",
        consumption="UNITS",
        rate="RATE",
        value="VALUE",
        full_rate="full",
        full_cost="Full cost",
        subsidy="Subsidy (-)",
        contribution="Contribution (+)",
        charged="Value of {service}",
        carried_out="Credit for the next purchase",
        total_units="TOTAL",
        month_to_date="This month so far",
        pin="PIN",
        pins="PIN {number} OF {count}",
        enter_pin="Enter the 20 digits on the meter.",
        enter_pins="Enter the PINs in this order.",
        key_change_first="FIRST enter these key-change codes, in order, then the recharge",
        key_change_pins="KEY CHANGE {number} OF {count}",
        key_change_then="THEN enter the recharge",
        enter_key_change="Before the key change enter older PINs that you have not used: afterwards they do not work.",
        owed="Total debt",
        overdue="Overdue debt",
        minimum="Least recharge",
        maximum="Largest recharge",
        would_buy="{paid} WOULD BUY",
        supervised="Supervised by the Superintendencia de Servicios Públicos Domiciliarios (SSPD)",
        services=("electricity", "water", "gas"),
        user_classes=(
            ("residential", "residential"),
            ("commercial", "commercial"),
            ("official", "official"),
            ("industrial", "industrial"),
            ("industrial-exempt", "industrial, exempt"),
        ),
    ),
}

assert all(getattr(words, each.name) for words in _WORDS.values() for each in fields(words))


def ticket_words(language: str) -> TicketWords:
    """Return the words of a language of `LANGUAGES`; KeyError otherwise."""
    return _WORDS[language]


_ANSWERS: dict[str, tuple[str, str]] = {
    "00": ("Aprobada", "Approved"),
    "03": ("Datáfono no registrado", "Terminal not known"),
    "09": ("En proceso: repita hasta tener respuesta final", "In progress: repeat until there is a final answer"),
    "12": ("Operación no disponible", "Operation not offered"),
    "13": ("Valor inválido: pesos enteros mayores que cero", "Invalid amount: whole pesos above zero"),
    "14": ("Medidor no encontrado", "Meter not found"),
    "21": ("La venta sigue en firme: el PIN ya fue generado", "The sale stands: its PIN exists already"),
    "25": ("No se encontró la venta original", "The original sale was not found"),
    "97": ("Los totales no cuadran con los de la red", "The totals are not those of the network"),
    "30": ("Mensaje con error de formato", "Message format error"),
    "40": ("Mensaje no soportado", "Message not supported"),
    "51": ("Cupo de la red insuficiente", "The network's float is short"),
    "56": ("El medidor es de otro servicio", "The meter measures another service"),
    "57": ("Red suspendida", "Network stopped"),
    "58": ("Datáfono bloqueado", "Terminal blocked"),
    "61": ("El valor supera la recarga máxima", "Above the largest recharge"),
    "62": ("Medidor bloqueado", "Meter blocked"),
    "63": ("Firma (MAC) del mensaje inválida", "Wrong message authentication code"),
    "70": ("El valor es menor que la recarga mínima", "Below the least recharge"),
    "71": ("El valor no alcanza para comprar después de descuentos", "After deductions the amount buys nothing"),
    "72": ("El pago es mayor que lo que se debe", "More than what is owed"),
    "75": (
        "El medidor necesita un cambio de clave; llame a la empresa",
        "The meter needs a key change; call the utility",
    ),
    "76": ("La obligación no existe", "The obligation is not known"),
    "73": ("La red vende en otro horario", "The network sells at other hours"),
    "74": ("Esta red no puede hacer esta venta", "This network may not make this sale"),
    "77": ("El datáfono no ha iniciado sesión", "The terminal has not signed on"),
    "78": ("No hay deuda por pagar", "Nothing is owed"),
    "79": (
        "Otra venta en curso en este medidor; intente de nuevo",
        "Another sale on this meter is under way; try again",
    ),
    "90": ("Sistema ocupado; intente de nuevo", "System busy; try again"),
    "91": ("Módulo de seguridad no disponible; intente más tarde", "Security module not available; try later"),
    "92": ("Sistema no disponible; intente más tarde", "System not available; try later"),
    "93": ("No hay tarifa publicada para este medidor", "No tariff is published for this meter"),
    "94": ("Transacción duplicada con datos diferentes", "Duplicate transaction with other content"),
    "95": ("El PIN no se pudo generar; la venta fue anulada", "The PIN could not be made; the sale was voided"),
    "96": ("Error del sistema; intente más tarde", "System error; try later"),
}


def answer_text(code: str, language: str) -> str:
    """Say what a data element 39 means, for the person at the terminal. Source: docs/wire/datafono.md."""
    spanish, english = _ANSWERS.get(code, ("Declinada", "Declined"))
    return english if language == ENGLISH else spanish


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """What is said of an outcome where there is no ticket."""

    declined: str
    unknown: str
    no_answer: str
    last_open: str
    came_instead: str
    not_sent: str
    not_sent_still_open: str
    nothing_to_repeat: str
    was_reversed: str
    was_not_sent: str
    reversed: str
    done: str
    key_changed: str
    lines_unreadable: str
    pins_unreadable: str
    from_memory: str


_SENTENCES = {
    SPANISH: Sentences(
        declined="DECLINADA {code}: {text}",
        unknown=(
            "SIN RESPUESTA FINAL: no se sabe si la operación se hizo. No la cobre de nuevo.\n"
            "Pida la misma respuesta con «eudora pos last» o anule con «eudora pos reverse»."
        ),
        no_answer="SIN RESPUESTA de la central.",
        last_open=(
            "La última venta de este datáfono no tiene respuesta final; no se vende nada más hasta saberla.\n"
            "Use «eudora pos last» para pedirla o «eudora pos reverse» para anularla."
        ),
        came_instead="Llegó, sin firma válida: {what}",
        not_sent="No hay comunicación con la central ({reason}). No se envió ni se hizo nada.",
        not_sent_still_open="No hay comunicación con la central ({reason}). La operación anterior sigue sin respuesta final.",
        nothing_to_repeat="Este datáfono no tiene una venta anterior.",
        was_reversed="La última venta fue anulada; no se repite.",
        was_not_sent="La última venta no salió del datáfono; véndala de nuevo.",
        reversed="VENTA ANULADA: devuelva el dinero al cliente.",
        done="APROBADA",
        key_changed="APROBADA: clave de sesión {generation}, valor de control {kcv}",
        lines_unreadable="(El detalle de la venta no se pudo leer; los PIN son válidos.)",
        pins_unreadable="APROBADA, pero el PIN de la respuesta no se puede leer; llame a la central.",
        from_memory="(Sin respuesta de la central: copia de la memoria del datáfono.)",
    ),
    ENGLISH: Sentences(
        declined="DECLINED {code}: {text}",
        unknown=(
            "NO FINAL ANSWER: it is not known whether it was done. Do not charge it again.\n"
            'Ask for the same answer with "eudora pos last" or undo it with "eudora pos reverse".'
        ),
        no_answer="NO ANSWER from the switch.",
        last_open=(
            "The last sale of this terminal has no final answer; nothing else is sold until it is known.\n"
            'Use "eudora pos last" to ask for it or "eudora pos reverse" to undo it.'
        ),
        came_instead="What came, without a valid MAC: {what}",
        not_sent="The switch cannot be reached ({reason}). Nothing was sent and nothing was done.",
        not_sent_still_open="The switch cannot be reached ({reason}). The earlier request still has no final answer.",
        nothing_to_repeat="This terminal has no last sale.",
        was_reversed="The last sale was undone; it is not repeated.",
        was_not_sent="The last sale never left the terminal; sell it again.",
        reversed="SALE UNDONE: give the money back to the customer.",
        done="APPROVED",
        key_changed="APPROVED: session key {generation}, check value {kcv}",
        lines_unreadable="(The lines of the sale could not be read; the PINs are valid.)",
        pins_unreadable="APPROVED, but the PIN of the answer cannot be read; call the switch's operator.",
        from_memory="(No answer from the switch: a copy from the terminal's memory.)",
    ),
}


def sentences(language: str) -> Sentences:
    """Return the sentences of a language of `LANGUAGES`; KeyError otherwise."""
    return _SENTENCES[language]
