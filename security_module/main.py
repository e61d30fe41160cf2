"""The process: opens the store, takes the directory, listens, and stops in order on SIGTERM."""

import fcntl
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from twisted.internet import ssl
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads, IReactorSSL, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import provider

from config.state_files import replace_durably, write_run_file
from security_module.audit_chain import AuditKey
from security_module.clients import read_revocations, to_document
from security_module.clock import machine_now, machine_ticks
from security_module.dukpt import DukptMacs
from security_module.group_commit import GroupCommit, RunInThread
from security_module.hardening import harden
from security_module.key_store import read_store, to_public_document, unseal
from security_module.layout import Layout
from security_module.lease_commands import LeaseCommands, record_changes
from security_module.macs import MacBook
from security_module.mint_log import MintLog
from security_module.minting import Mint
from security_module.open_store import open_keys, opened_by
from security_module.registers import Client, ModuleKeys
from security_module.revocation_watch import LOOK_SECONDS, RevocationWatch
from security_module.sealed_store import Kek
from security_module.server import Links, ModuleFactory, stop
from security_module.session import Module
from security_module.session_keys import SessionKeys
from sts.tables import PRODUCTION, load_tables

HEAD_SECONDS = 60.0
"""How long what was minted may be without a signature that vouches for it."""

_log = structlog.get_logger()


class AlreadyRunning(Exception):
    """Another process uses the directory; two writers of one mint log would fork its chain."""


class Reactor(IReactorCore, IReactorTime, IReactorSSL, IReactorFromThreads):
    """What the process needs of a reactor."""


def tls_options(layout: Layout, clients: Iterable[Client]) -> ssl.CertificateOptions:
    """Return TLS 1.3 with the module's certificate, for clients that show one signed by its authority, or by that of one of *clients*."""
    server = ssl.PrivateCertificate.loadPEM(layout.server.read_bytes())
    pems = [layout.authority.read_bytes(), *(each.authority_pem.encode("ascii") for each in clients)]
    return ssl.CertificateOptions(
        privateKey=server.privateKey.original,
        certificate=server.original,
        trustRoot=ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(each) for each in pems if each]),
        raiseMinimumTo=ssl.TLSVersion.TLSv1_3,
    )


@contextmanager
def _only_process(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(lock.parent) from error
        yield


def _configure_logging() -> None:
    """JSON lines on stdout; what Twisted logs as a failure goes there too, so that no traceback is lost."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        failure: Any = event.get("log_failure")
        if failure is not None:
            _log.error("twisted.failure", error=type(failure.value).__name__, traceback=failure.getTraceback())
        elif event.get("isError"):
            # What the older half of Twisted logs carries its traceback as text only.
            _log.error("twisted.failure", error="", traceback=event.get("log_text", ""))

    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False, discardBuffer=True)


def assemble(
    keys: ModuleKeys,
    mint_log: MintLog,
    clock: IReactorTime,
    run_in_thread: RunInThread,
    now: Callable[[], datetime],
) -> Links:
    """Put a module together around its parts; the caller listens with `ModuleFactory` on the result."""
    commits = GroupCommit(mint_log, run_in_thread, lambda: links.flush())

    def clock_unix_milliseconds() -> int:
        return int(now().timestamp() * 1000)

    module = Module(
        keys=keys,
        mint=Mint(keys.vending, load_tables(PRODUCTION)),
        macs=MacBook(keys.mac),
        devices=DukptMacs(keys.mac),
        sessions=SessionKeys(
            keys.mac,
            clock_unix_milliseconds,
            record=lambda act, **details: commits.record(act, **details),
        ),
        commits=commits,
        leases=LeaseCommands(keys),
        counts=mint_log.counts,
        clock_unix_milliseconds=clock_unix_milliseconds,
        answered=lambda: links.flush(),
    )
    links = Links(module=module, clock=clock, revoked=set(mint_log.revoked))
    return links


def open_mint_log(layout: Layout, keys: ModuleKeys) -> MintLog:
    """Open the mint log of a module on the machine's clock, with its audit key."""
    audit_key = AuditKey(keys.module_id, keys.audit_key) if keys.audit_key is not None else None
    if audit_key is None:
        _log.warning("audit.unsigned", reason="the key store is of an old version and has no audit key")
    else:
        replace_durably(layout.audit_public_key, audit_key.public_pem())
    return MintLog(
        layout.mint_log,
        keys.vending,
        machine_now,
        audit_key=audit_key,
        ticks=machine_ticks,
        approvers=keys.approvers,
        is_of_till=keys.till is not None,
    )


def run(directory: Path, *, host: str, port: int, run_file: Path | None, kek: Kek | None = None) -> None:
    """Run the security module until SIGTERM or SIGINT.

    Args:
        directory: made by `security_module.ceremony.init`.
        host: address to listen on.
        port: 0 takes a free one.
        run_file: where to write ``{"host", "port", "pid"}`` once listening; removed at the end. None: nowhere.
        kek: rebuilt from the custodians' shares; None: the store opens with a passphrase or a token.

    Raises:
        StoreError: the keys cannot be opened.
        MintLogError: the mint log was written by another version.
        AlreadyRunning: another process has the directory.
        CannotListenError: the port is taken.
    """
    from twisted.internet import reactor  # noqa: TID251

    harden()
    _configure_logging()
    layout = Layout(directory)
    sealed = read_store(layout.store)
    keys = open_keys(directory, os.environ) if kek is None else unseal(sealed, kek)
    with _only_process(layout.lock):
        mint_log = open_mint_log(layout, keys)
        try:
            unsealed_by = "custodians" if kek else opened_by(sealed)
            # Before anybody connects: what was revoked while the module stood still.
            mint_log.revoke([asdict(each) for each in read_revocations(layout.revocations)])
            mint_log.start(to_public_document(keys), to_document(keys), module=keys.module_id, unsealed_by=unsealed_by)
            record_changes(mint_log, keys)
            _serve(reactor, layout, keys, mint_log, host, port, run_file)  # type: ignore[arg-type]
            mint_log.stop()
        finally:
            mint_log.close()


def _look_failed(failure: Failure) -> None:
    _log.error("client.revocations_not_watched", error=repr(failure.value))


def _head_failed(failure: Failure) -> None:
    # The disk may be full; what was minted meanwhile is vouched for by the next head.
    _log.error("audit.head_failed", error=repr(failure.value))


def _serve(
    reactor: Reactor,
    layout: Layout,
    keys: ModuleKeys,
    mint_log: MintLog,
    host: str,
    port: int,
    run_file: Path | None,
) -> None:
    writer = ThreadPool(1, 1, "mint-log")
    links = assemble(keys, mint_log, reactor, lambda work: deferToThreadPool(reactor, writer, work), machine_now)
    listener = reactor.listenSSL(port, ModuleFactory(links), tls_options(layout, keys.clients.values()), interface=host)
    address = listener.getHost()
    assert isinstance(address, IPv4Address | IPv6Address)
    writer.start()

    def tell_that_it_listens() -> None:
        if run_file is not None:
            write_run_file(run_file, {"host": address.host, "port": address.port})
        _log.info(
            "module.listening", host=address.host, port=address.port, module=keys.module_id, registers=len(keys.vending)
        )

    def stop_listening() -> Deferred[None]:
        stopped: Deferred[None] = Deferred()
        listening = listener.stopListening()
        if listening is None:
            stopped.callback(None)
        else:
            listening.chainDeferred(stopped)
        return stopped

    def before_shutdown() -> Deferred[None]:
        _log.info("module.stopping")
        return stop(links, stop_listening)

    def sign_head() -> Deferred[None]:
        return links.module.commits.run(lambda log: log.sign_head()).addErrback(_head_failed)

    watch = RevocationWatch(layout.revocations, links)
    for work, seconds, failed in (
        (sign_head, HEAD_SECONDS, _head_failed),
        (watch.look, LOOK_SECONDS, _look_failed),
    ):
        again = LoopingCall(work)
        again.clock = reactor
        again.start(seconds, now=False).addErrback(failed)
    reactor.addSystemEventTrigger("before", "shutdown", before_shutdown)
    reactor.addSystemEventTrigger("during", "shutdown", writer.stop)
    # Not before signals are heeded: who reads it may send one at once, and would kill where he meant to stop.
    reactor.callWhenRunning(tell_that_it_listens)
    try:
        reactor.run()
    finally:
        if run_file is not None:
            run_file.unlink(missing_ok=True)
    _log.info("module.stopped")
