"""Section ``utility``: who sells, as the ticket says it."""

from typing import Annotated, Literal

from pydantic import Field

from config.section import Section

TicketLine = Annotated[str, Field(max_length=48)]
"""One line of a ticket; 48 columns is what an 80 mm printer takes in its normal font."""


class UtilitySection(Section):
    """The company and its texts.

    Attributes:
        name: company name.
        nit: tax number with its check digit, ``900123456-7``.
        pqr_line: where petitions, complaints and claims go (Ley 142 of 1994, article 153).
        language: language of tickets.
        ticket_header: lines above a ticket's body.
        ticket_footer: lines below it, notices that the law or the company wants there.
    """

    name: str = Field(default="Empresa de Servicios Públicos", min_length=1, max_length=48)
    nit: str = Field(default="000000000-0", pattern=r"^[0-9]{6,10}-[0-9]$")
    pqr_line: str = Field(default="PQR: línea gratuita 018000", min_length=1, max_length=48)
    language: Literal["es", "en"] = "es"
    ticket_header: Annotated[tuple[TicketLine, ...], Field(max_length=6)] = ()
    ticket_footer: Annotated[tuple[TicketLine, ...], Field(max_length=10)] = ("Conserve este tiquete.",)
