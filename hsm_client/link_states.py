"""The life of one link as a table. Every change of a link's state is a line of this file.

The machine knows no socket and no clock: it is told what happened (`LinkInputs`) and tells its link what to do (`LinkActions`),
so the whole table is tested without either. Inputs return nothing on purpose: one that arrives while another is still being acted
on is queued by Automat and runs right after it.
"""

from typing import Protocol

from automat import TypeMachineBuilder

from hsm_client.observer import LinkState


class LinkInputs(Protocol):
    """What can happen to a link."""

    def start(self) -> None:
        """From the owner: connect, and stay connected."""

    def stop(self) -> None:
        """From the owner: close, and stay closed."""

    def connected(self) -> None:
        """From the connection: there is a transport."""

    def attempt_failed(self) -> None:
        """From the endpoint: the attempt failed, or was cancelled, or took too long."""

    def identified(self) -> None:
        """From the module: it said who it is."""

    def lost(self) -> None:
        """From the connection: it is gone, for whatever reason and by whomever."""

    def retry_due(self) -> None:
        """From the clock: the back-off is over."""


class LinkActions(Protocol):
    """What the table makes a link do."""

    def entered(self, state: LinkState) -> None:
        """The link is now in *state*; called before the action that belongs to it."""

    def open_attempt(self) -> None:
        """Begin to connect; ends in ``connected`` or ``attempt_failed``."""

    def identify(self) -> None:
        """Ask the module who it is; ends in ``identified`` or ``lost``."""

    def serve(self) -> None:
        """Take requests."""

    def schedule_retry(self) -> None:
        """Wait a while; ends in ``retry_due``."""

    def cancel_retry(self) -> None:
        """Wait no longer."""

    def cancel_attempt(self) -> None:
        """Give up connecting; ends in ``attempt_failed``."""

    def close(self) -> None:
        """Close the connection; ends in ``lost``."""

    def announce_closed(self) -> None:
        """All is over: tell those who wait for it."""


# The core is a Protocol and only used as a type here, never instantiated.
_builder = TypeMachineBuilder(LinkInputs, LinkActions)  # type: ignore[type-abstract]


def _enter_connecting(_machine: LinkInputs, link: LinkActions) -> None:
    link.entered(LinkState.CONNECTING)
    link.open_attempt()


def _enter_identifying(_machine: LinkInputs, link: LinkActions) -> None:
    link.entered(LinkState.IDENTIFYING)
    link.identify()


def _enter_up(_machine: LinkInputs, link: LinkActions) -> None:
    link.entered(LinkState.UP)
    link.serve()


def _enter_backing_off(_machine: LinkInputs, link: LinkActions) -> None:
    link.entered(LinkState.BACKING_OFF)
    link.schedule_retry()


def _enter_closing(_machine: LinkInputs, link: LinkActions) -> None:
    link.entered(LinkState.CLOSING)


_down = _builder.state("down")
_connecting = _builder.state("connecting", _enter_connecting)
_identifying = _builder.state("identifying", _enter_identifying)
_up = _builder.state("up", _enter_up)
_backing_off = _builder.state("backing_off", _enter_backing_off)
_closing = _builder.state("closing", _enter_closing)

# The way up, and back to it after every failure. Starting twice changes nothing; starting while closing is a bug of the caller and
# has no line.
_down.upon(LinkInputs.start).to(_connecting).returns(None)
_connecting.upon(LinkInputs.connected).to(_identifying).returns(None)
_connecting.upon(LinkInputs.attempt_failed).to(_backing_off).returns(None)
_identifying.upon(LinkInputs.identified).to(_up).returns(None)
_identifying.upon(LinkInputs.lost).to(_backing_off).returns(None)
_up.upon(LinkInputs.lost).to(_backing_off).returns(None)
_backing_off.upon(LinkInputs.retry_due).to(_connecting).returns(None)
for _started in (_connecting, _identifying, _up, _backing_off):
    _started.upon(LinkInputs.start).loop().returns(None)


# The way down.
@_connecting.upon(LinkInputs.stop, nodata=True).to(_closing)
def _give_up_connecting(_machine: LinkInputs, link: LinkActions) -> None:
    link.cancel_attempt()


@_identifying.upon(LinkInputs.stop, nodata=True).to(_closing)
@_up.upon(LinkInputs.stop, nodata=True).to(_closing)
def _close(_machine: LinkInputs, link: LinkActions) -> None:
    link.close()


@_backing_off.upon(LinkInputs.stop).to(_down)
def _wait_no_longer(_machine: LinkInputs, link: LinkActions, _of_state: object) -> None:
    link.cancel_retry()
    link.entered(LinkState.DOWN)
    link.announce_closed()


@_closing.upon(LinkInputs.attempt_failed).to(_down)
@_closing.upon(LinkInputs.lost).to(_down)
def _ended(_machine: LinkInputs, link: LinkActions, _of_state: object) -> None:
    link.entered(LinkState.DOWN)
    link.announce_closed()


@_down.upon(LinkInputs.stop).loop()
def _never_started(_machine: LinkInputs, link: LinkActions) -> None:
    link.announce_closed()


_closing.upon(LinkInputs.stop).loop().returns(None)

new_link_machine = _builder.build()
"""Make the machine of one link: ``new_link_machine(actions)`` gives a `LinkInputs` in state *down*."""
