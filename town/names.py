"""Invented people, shops and streets. Any likeness is chance: first names and surnames are drawn apart."""

from random import Random
from typing import NamedTuple

from vending.service import AltitudeBand, UserClass


class District(NamedTuple):
    """A part of the town: its name, the strata that live there, and whether it lies at 1 000 m or above."""

    name: str
    strata: tuple[int, ...]
    altitude: AltitudeBand


DISTRICTS = (
    District("Barrio La Ñapa", (1,), AltitudeBand.LOW),
    District("Barrio Puerto Niño", (1, 2), AltitudeBand.LOW),
    District("Barrio El Peñón", (1, 2), AltitudeBand.HIGH),
    District("Barrio San José Obrero", (2, 3), AltitudeBand.LOW),
    District("Barrio Simón Bolívar", (2, 3), AltitudeBand.LOW),
    District("Centro", (3, 4), AltitudeBand.LOW),
    District("Urbanización Los Ocobos", (4, 5), AltitudeBand.HIGH),
    District("Conjunto Altos del Río", (5, 6), AltitudeBand.HIGH),
    District("Vereda Cañabrava", (1,), AltitudeBand.HIGH),
)

_FIRST_NAMES = (
    "María", "José", "Luz Marina", "Carlos", "Ana Lucía", "Andrés", "Yolanda", "Jesús", "Blanca Inés", "Álvaro", "Rocío", "Iván",
    "Martha", "Óscar", "Gloria", "Fabián", "Nubia", "Hernán", "Íngrid", "Ramón", "Beatriz", "Édgar", "Dora", "Germán", "Sofía",
    "Wilson", "Amparo", "Julián", "Ofelia", "Néstor", "Pilar", "Tomás", "Zoraida", "Ángela", "Efraín", "Leidy", "Gonzalo", "Begoña",
)  # fmt: skip
_SURNAMES = (
    "Muñoz", "Rodríguez", "Peña", "Ibáñez", "Gómez", "Ordóñez", "Castañeda", "Núñez", "Pérez", "Cañón", "Acuña", "Ramírez", "Zúñiga",
    "Londoño", "Vásquez", "Briceño", "Quiñones", "Suárez", "Patiño", "Mejía", "Avendaño", "Triviño", "Ávila", "Montaño", "Becerra",
    "Riaño", "Güiza", "Sepúlveda", "Toro", "Urueña", "Villamil", "Yáñez", "Bedoya", "Cifuentes", "Fandiño", "Herreño", "Arango",
)  # fmt: skip
_SHOPS = (
    "Tienda La Esquina de", "Droguería", "Panadería El Trigo de", "Papelería", "Miscelánea La Ñata de", "Supermercado", "Cafetería",
    "Ferretería", "Variedades", "Cacharrería",
)  # fmt: skip
_OFFICES = (
    "Escuela Rural",
    "Puesto de Salud",
    "Casa de la Cultura",
    "Inspección de Policía",
    "Colegio Departamental",
    "Biblioteca",
)
_FACTORIES = ("Trilladora", "Ladrillera", "Curtiembres", "Molinos", "Talleres", "Maderas", "Lácteos", "Empacadora")
_WAYS = ("Calle", "Carrera", "Diagonal", "Transversal")


def person(random: Random) -> str:
    """Return a name with two surnames."""
    return f"{random.choice(_FIRST_NAMES)} {random.choice(_SURNAMES)} {random.choice(_SURNAMES)}"


def shop(random: Random) -> str:
    """Return the name of a shop."""
    return f"{random.choice(_SHOPS)} {random.choice(_FIRST_NAMES)} {random.choice(_SURNAMES)}"


def holder(random: Random, user_class: UserClass) -> str:
    """Return the name on an account of that class."""
    if user_class is UserClass.RESIDENTIAL:
        return person(random)
    if user_class is UserClass.COMMERCIAL:
        return shop(random)
    if user_class is UserClass.OFFICIAL:
        return f"{random.choice(_OFFICES)} {random.choice(_SURNAMES)}"
    return f"{random.choice(_FACTORIES)} {random.choice(_SURNAMES)} y Cía. S.A.S."


def address(random: Random, district: District) -> str:
    """Return an address in that part of the town."""
    if district.name.startswith("Vereda"):
        return f"Km {random.randint(1, 14)} vía a {random.choice(_SURNAMES)}, {district.name}"
    letter = random.choice(("", "", "", "A", "B"))
    return f"{random.choice(_WAYS)} {random.randint(1, 48)}{letter} # {random.randint(1, 60)}-{random.randint(1, 99):02}, {district.name}"
