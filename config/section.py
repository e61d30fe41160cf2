"""What all sections share: unknown keys are refused, values do not change after loading, secrets stay masked."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator

from config.home import eudora_home
from vending.secret import Secret


class Section(BaseModel):
    """One table of the file. A misspelt key is an error, not a default that nobody asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)


class Endpoint(Section):
    """A TCP address. In a file it is written ``"host:port"``, an IPv6 address ``"[::1]:port"``."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_ENDPOINT = re.compile(r"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|([^\s:\[\]]+)):([0-9]{1,5})", re.ASCII)


def _split_endpoint(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = _ENDPOINT.fullmatch(value)
    if match is None:
        raise ValueError('an address is written "host:port"')
    return {"host": match[1] or match[2], "port": int(match[3])}


def _into_secret(value: Any) -> Secret[str]:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty is needed")
    return Secret(value.strip())


def _below_home(path: Path) -> Path:
    return path if path.is_absolute() else eudora_home() / path


EndpointText = Annotated[Endpoint, BeforeValidator(_split_endpoint)]
"""An `Endpoint` that may be written as one text."""

SecretText = Annotated[Secret[str], PlainValidator(_into_secret), PlainSerializer(lambda _: "***", return_type=str)]
"""A text that no log, dump or error shows. White space around it is dropped: secret files end with a newline."""

HomePath = Annotated[Path, AfterValidator(_below_home)]
"""A path; a relative one is below the state directory (see `config.home.eudora_home`)."""

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
"""A duration above zero and not above a day."""

PortNumber = Annotated[int, Field(ge=0, le=65535)]
"""A port to listen on; 0 lets the system choose one."""

ListenHost = Annotated[str, Field(min_length=1, max_length=253)]
"""The local address to listen on: ``127.0.0.1`` for this machine only, ``0.0.0.0`` for every network card."""
