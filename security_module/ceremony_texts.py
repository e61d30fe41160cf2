"""What the ceremony says, in Spanish and in English."""

from collections.abc import Callable

LANGUAGES = ("es", "en")

Say = Callable[..., str]
"""``say("key", name=value)``: one text in the language that was chosen."""

_TEXTS = {
    "title": ("CEREMONIA DE CLAVES: {what}", "KEY CEREMONY: {what}"),
    "title_new": ("módulo de seguridad nuevo", "new security module"),
    "title_keys": ("ingreso de claves en {module}", "entering keys into {module}"),
    "title_kek": ("nuevas partes para los custodios de {module}", "new shares for the custodians of {module}"),
    "title_load": ("archivo de claves para {module}", "key load file for {module}"),
    "title_client": (
        "certificado nuevo en {module} para {name} ({role}), {pin}",
        "a new certificate in {module} for {name} ({role}), {pin}",
    ),
    "title_unattended": (
        "nueva clave maestra de {module}, sin custodios",
        "a new key encryption key of {module}, without custodians",
    ),
    "title_restore": (
        "segundo módulo, de una copia de {source} (SHA-256 del archivo {digest})",
        "second module, from a backup of {source} (SHA-256 of the file {digest})",
    ),
    "rules": (
        "Nada se escribe antes del final. Ctrl-C en cualquier momento: nada cambia.",
        "Nothing is written before the end. Ctrl-C at any time: nothing changes.",
    ),
    "sorry": ("No se acepta.", "Not accepted."),
    "number": ("Un número de {low} a {high}.", "A number from {low} to {high}."),
    "yes": ("s", "y"),
    "yes_no": ("(s/n)", "(y/n)"),
    "officer": ("¿Quién dirige y levanta el acta? ", "Who conducts and keeps the record? "),
    "how_many": ("¿Cuántos custodios hay? ", "How many custodians are there? "),
    "threshold": ("¿Cuántos bastan para abrir el módulo? ", "How many are enough to open the module? "),
    "custodian": ("Nombre del custodio {index}: ", "Name of custodian {index}: "),
    "name_rule": (
        "Un nombre distinto, de 1 a 60 caracteres.",
        "A name of its own, 1 to 60 characters.",
    ),
    "alone": (
        "{name} queda SOLO ante la pantalla. Los demás se apartan.",
        "{name} is ALONE at the screen. The others step back.",
    ),
    "ready": ("{name}, pulse Enter cuando esté solo. ", "{name}, press Enter when you are alone. "),
    "menu": (
        "\n¿Qué se ingresa?\n  1 clave de venta\n  2 clave MAC\n  3 remitente de archivos de claves\n"
        "  4 persona que aprueba\n  5 cupos sin dos firmas\n  6 detener un registro, o cambiar sus límites\n"
        "  7 terminal de un vendedor sin línea\n  8 este módulo es el de una terminal así\n  0 nada más\n> ",
        "\nWhat is entered?\n  1 vending key\n  2 MAC key\n  3 sender of key load files\n"
        "  4 person who approves\n  5 quotas without two signatures\n  6 stop a register, or change its limits\n"
        "  7 vendor terminal without a line\n  8 this is the module of such a terminal\n  0 nothing more\n> ",
    ),
    "fields_right": ("¿Está todo bien hasta aquí? {yes_no} ", "Is all of it right so far? {yes_no} "),
    "number_taken": ("Ese número ya está en uso.", "That number is in use."),
    "no_such_old": ("No hay tal registro de venta.", "There is no such vending register."),
    "register_id": ("Número del registro (0 a 65535): ", "Number of the register (0 to 65535): "),
    "sgc": ("Grupo de suministro SGC, 6 dígitos: ", "Supply group code SGC, 6 digits: "),
    "krn": ("Revisión de la clave KRN (1 a 9): ", "Key revision number KRN (1 to 9): "),
    "ken": ("Expiración de la clave KEN (0 a 255; 255 nunca): ", "Key expiry number KEN (0 to 255; 255 never): "),
    "base_date": ("Fecha base (1993, 2014, 2035): ", "Base date (1993, 2014, 2035): "),
    "key_type": ("Tipo de clave KT (0, 1, 2; vende solo 2): ", "Key type KT (0, 1, 2; only 2 sells): "),
    "key_algorithm": ("Algoritmo de derivación DKGA (2, 4): ", "Derivation algorithm DKGA (2, 4): "),
    "ciphers": ("Cifrados EA, con comas (7, 11): ", "Ciphers EA, with commas (7, 11): "),
    "subclasses": (
        "Servicios, con comas (0 energía, 1 agua, 2 gas, 3 tiempo): ",
        "Services, with commas (0 electricity, 1 water, 2 gas, 3 time): ",
    ),
    "per_token": (
        "Máximo por PIN, en décimas de unidad (1 a {high}): ",
        "Most in one token, in tenths of a unit (1 to {high}): ",
    ),
    "per_day": (
        "Máximo por día, en décimas de unidad (0 sin límite): ",
        "Most in one day, in tenths of a unit (0 no limit): ",
    ),
    "in_all": (
        "Máximo en toda la vida del registro, en décimas (0 sin límite): ",
        "Most in the life of the register, in tenths (0 no limit): ",
    ),
    "money_per_day": (
        "Máximo en dinero por día, en centavos (0 sin límite): ",
        "Most money in one day, in centavos (0 no limit): ",
    ),
    "money_in_all": (
        "Máximo en dinero en toda la vida, en centavos (0 sin límite): ",
        "Most money in its life, in centavos (0 no limit): ",
    ),
    "floor": (
        "Una unidad cuenta en dinero al menos, en centavos (0 nada): ",
        "A unit counts as money at least, in centavos (0 nothing): ",
    ),
    "issued_until": (
        "Emite hasta el día AAAA-MM-DD, UTC (vacío: sin fin): ",
        "Mints until YYYY-MM-DD, UTC (empty: no end): ",
    ),
    "replaces": (
        "¿Reemplaza un registro? Su número (vacío: no): ",
        "Does it replace a register? Its number (empty: no): ",
    ),
    "until": (
        "El registro viejo emite hasta el día AAAA-MM-DD, UTC (vacío: como estaba): ",
        "The old register mints until YYYY-MM-DD, UTC (empty: as it was): ",
    ),
    "scheme": ("Esquema: 1 ANSI X9.19, 2 AES-CMAC, 3 ANSI X9.9: ", "Scheme: 1 ANSI X9.19, 2 AES-CMAC, 3 ANSI X9.9: "),
    "diversified": (
        "¿Una clave propia por cada terminal, derivada de esta? 1 sí, 0 no; 2 es una clave de zona; 3 base DUKPT: ",
        "A key of its own for each terminal, derived from this one? 1 yes, 0 no; 2 it is a zone key; 3 DUKPT base: ",
    ),
    "components": (
        "¿En cuántos componentes viene la clave? (2 o 3) ",
        "In how many components does the key come? (2 or 3) ",
    ),
    "holder": (
        "¿Quién digita el componente {index}? {people} (número): ",
        "Who enters component {index}? {people} (number): ",
    ),
    "holder_again": ("Otra persona que la anterior.", "Somebody else than before."),
    "component": (
        "Componente {index}, {digits} dígitos hexadecimales (no se ven): ",
        "Component {index}, {digits} hexadecimal digits (not shown): ",
    ),
    "hex_rule": ("Se esperan {digits} dígitos hexadecimales.", "{digits} hexadecimal digits are expected."),
    "component_kcv": (
        "Valor de verificación del componente {index}: {kcv}",
        "Check value of component {index}: {kcv}",
    ),
    "matches": ("¿Es el de su papel? {yes_no} ", "Is it the one on your paper? {yes_no} "),
    "all_back": ("Vuelven todos a la pantalla.", "Everybody comes back to the screen."),
    "combined": ("Valor de verificación de la clave: {kcv}", "Check value of the key: {kcv}"),
    "expected": (
        "Digite el valor de verificación que dice el papel del proveedor: ",
        "Type the check value that the supplier's paper says: ",
    ),
    "kcv_differs": (
        "No coincide con el papel. La clave NO se toma.",
        "It differs from the paper. The key is NOT taken.",
    ),
    "weak": (
        "Los componentes dan una clave nula o débil. No se toma.",
        "The components give an empty or weak key. It is not taken.",
    ),
    "once_more": (
        "¿Ingresar los componentes otra vez? {yes_no} ",
        "Enter the components once more? {yes_no} ",
    ),
    "rejected": ("No se puede: {reason}. No se toma.", "It cannot be: {reason}. It is not taken."),
    "taken": ("Registro {id}: tomado, clave {kcv}.", "Register {id}: taken, key {kcv}."),
    "sender_name": ("Nombre del remitente: ", "Name of the sender: "),
    "sender_key": (
        "Su clave pública Ed25519, 64 dígitos hexadecimales: ",
        "Its Ed25519 public key, 64 hexadecimal digits: ",
    ),
    "sender_print": (
        "Huella: {fingerprint}. ¿La confirma {name} por otro medio? {yes_no} ",
        "Fingerprint: {fingerprint}. Does {name} confirm it from another source? {yes_no} ",
    ),
    "approver_name": ("Nombre de quien aprueba: ", "Name of the approver: "),
    "approver_key": (
        "Su clave pública Ed25519 (eudora approve new-key), 64 dígitos hexadecimales: ",
        "Their Ed25519 public key (eudora approve new-key), 64 hexadecimal digits: ",
    ),
    "vendor_key": (
        "Clave pública del módulo de la terminal (audit public-key --hex), 64 dígitos hexadecimales: ",
        "Public key of the terminal's module (audit public-key --hex), 64 hexadecimal digits: ",
    ),
    "head_end_key": (
        "Clave pública del módulo de la empresa (audit public-key --hex), 64 dígitos hexadecimales: ",
        "Public key of the utility's module (audit public-key --hex), 64 hexadecimal digits: ",
    ),
    "terminal_id": ("Identificación de la terminal: ", "Id of the terminal: "),
    "terminal_id_rule": ("De 1 a 16 letras, dígitos, - _ .", "1 to 16 letters, digits, - _ ."),
    "terminal_of_other_key": (
        "Esa terminal tiene otro módulo. Uno nuevo lleva otra identificación.",
        "That terminal has another module. A new one gets another id.",
    ),
    "lease_groups": (
        "Claves con que vende, SGC/KRN con comas (201457/1): ",
        "Keys it sells under, SGC/KRN with commas (201457/1): ",
    ),
    "lease_credit": ("Dinero de cada cupo, en centavos: ", "Money of each lease, in centavos: "),
    "lease_units": ("Unidades de cada cupo, en décimas: ", "Units of each lease, in tenths: "),
    "lease_sales": ("Ventas de cada cupo (1 a {high}): ", "Sales of each lease (1 to {high}): "),
    "lease_sale": ("Máximo de una venta, en centavos: ", "Most money in one sale, in centavos: "),
    "lease_meter": (
        "Máximo por medidor y día, en centavos: ",
        "Most money for one meter in one day, in centavos: ",
    ),
    "lease_hours": ("Horas que vale cada cupo (1 a {high}): ", "Hours that each lease is good (1 to {high}): "),
    "lease_zone": ("Zona (puede quedar vacía): ", "Zone (may be empty): "),
    "quota_register": ("Número del registro: ", "Number of the register: "),
    "no_register": ("no hay tal registro de venta", "there is no such vending register"),
    "inhibit": ("¿Queda detenido (no emite nada)? {yes_no} ", "Is it stopped (gives nothing)? {yes_no} "),
    "keep": ("(vacío: como está, {value})", "(empty: as it is, {value})"),
    "quota_unapproved": (
        "PIN de ingeniería y sin costo por día sin dos firmas (vacío: sin límite): ",
        "Engineering and free tokens in a day without two signatures (empty: no limit): ",
    ),
    "quota_key_changes": (
        "Cambios de clave hacia él por día sin dos firmas (vacío: sin límite): ",
        "Key changes to it in a day without two signatures (empty: no limit): ",
    ),
    "client_confirm": (
        "{person}: ¿recibe {name} un certificado con el rol {role}? {yes_no} ",
        "{person}: does {name} get a certificate with the role {role}? {yes_no} ",
    ),
    "summary": ("LO QUE SE VA A SELLAR", "WHAT WILL BE SEALED"),
    "seal": ("Para continuar escriba {word}: ", "To go on type {word}: "),
    "seal_word": ("SELLAR", "SEAL"),
    "share": (
        "Parte {index} de {total}, de {name}. Bastan {threshold}.",
        "Share {index} of {total}, of {name}. {threshold} are enough.",
    ),
    "write_down": (
        "Escríbala en papel, a mano. Los 4 dígitos finales son su verificación.\nNo se mostrará después.",
        "Write it on paper, by hand. The last 4 digits are its check.\nIt will not be shown later.",
    ),
    "written": (
        "Enter cuando esté escrita; la pantalla se borra. ",
        "Enter when it is written; the screen is cleared. ",
    ),
    "type_back": ("Digítela ahora desde el papel (no se ve): ", "Now type it from the paper (not shown): "),
    "share_wrong": (
        "Lo digitado no es la parte. Se muestra otra vez.",
        "What was typed is not the share. It is shown again.",
    ),
    "share_right": ("Correcta. Guarde el papel en su sobre.", "Right. Put the paper into its envelope."),
    "next": ("Enter: se borra la pantalla y pasa el siguiente. ", "Enter: the screen is cleared, the next one comes. "),
    "unseal": (
        "El almacén {set} abre con {threshold} partes de: {names}.",
        "Store {set} opens with {threshold} shares of: {names}.",
    ),
    "give_share": (
        "Parte {index} de {threshold}, 44 dígitos (no se ven): ",
        "Share {index} of {threshold}, 44 digits (not shown): ",
    ),
    "share_unreadable": (
        "Una parte tiene 44 dígitos hexadecimales, y los 4 finales verifican los demás: hay un error al digitar.",
        "A share has 44 hexadecimal digits, and the last 4 check the others: something is mistyped.",
    ),
    "share_of_other_set": (
        "Esa parte es del conjunto {given}; aquí se necesita el conjunto {wanted}.",
        "That share is of set {given}; set {wanted} is needed here.",
    ),
    "share_unknown": (
        "Esa parte no es una de las que se entregaron para este almacén.",
        "That share is not one that was handed out for this store.",
    ),
    "gave": ("Parte de {name}: correcta.", "Share of {name}: right."),
    "gave_twice": ("Esa parte ya se dio.", "That share was given already."),
    "write_now": ("Se escribe ahora. {word} para terminar: ", "It is written now. {word} to finish: "),
    "load_from": (
        "Archivo {serial} de {name}; firma correcta.",
        "File {serial} of {name}; its signature is right.",
    ),
    "load_person": ("Nombre de quien confirma ({index} de 2): ", "Name of who confirms ({index} of 2): "),
    "load_confirm": (
        "{name}: ¿los valores son los del papel del proveedor? {yes_no} ",
        "{name}: are the values those of the supplier's paper? {yes_no} ",
    ),
    "protocol": ("ACTA DE CEREMONIA DE CLAVES", "RECORD OF A KEY CEREMONY"),
    "when": ("Fecha (UTC)", "Date (UTC)"),
    "module": ("Módulo", "Module"),
    "what": ("Acto", "Act"),
    "led_by": ("Dirige", "Conducted by"),
    "module_to_come": ("(se asigna al escribir)", "(given when it is written)"),
    "custody": ("Custodia", "Custody"),
    "people": ("Personas", "People"),
    "kek_kcv": ("KCV de la clave maestra", "KCV of the key encryption key"),
    "of": ("{threshold} de {total} (conjunto {set})", "{threshold} of {total} (set {set})"),
    "unattended": ("arranque sin personas (frase en archivo)", "unattended start (passphrase in a file)"),
    "legend": (
        "Por cada registro de venta: atributos y valor de verificación (KCV); luego servicios, máximo por PIN,\n"
        "unidades y dinero por día/en total, mínimo en dinero por unidad, y hasta cuándo emite.\n"
        "Unidades en décimas, dinero en centavos; - es sin límite.",
        "For each vending register: attributes and check value (KCV); then services, most in one token,\n"
        "units and money in a day/in all, least money for a unit, and until when it mints.\n"
        "Units in tenths, money in centavos; - is no limit.",
    ),
    "in_token": (
        "arranque sin personas (llave en el token PKCS#11 {token})",
        "unattended start (key in the PKCS#11 token {token})",
    ),
    "print_registers": ("Huella de los registros", "Fingerprint of the registers"),
    "print_people": (
        "Huella de quienes aprueban y de los remitentes",
        "Fingerprint of those who approve and of the senders",
    ),
    "print_clients": ("Huella de los clientes, nombre y rol", "Fingerprint of the clients, name and role"),
    "print_tills": ("Huella de las terminales con cupo", "Fingerprint of the vendor terminals"),
    "signatures": ("Firmas", "Signatures"),
}


def texts_in(language: str) -> Say:
    """Return the texts in ``es`` or ``en``."""
    column = LANGUAGES.index(language)

    def say(key: str, **values: object) -> str:
        return _TEXTS[key][column].format(yes_no=_TEXTS["yes_no"][column], **values)

    return say
