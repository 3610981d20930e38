"""One migration as QEMU does it: rounds of pre-copy, throttling, post-copy or a pause, and the hand-over.

Amounts are bytes, times seconds, rates bytes per second. Sources, in QEMU 7.2 to 10: migration/migration.c
(migration_iteration_run, migration_update_counters, postcopy_start), migration/ram.c (ram_save_pending,
migration_trigger_throttle, mig_throttle_guest_down), migration/multifd.c; in KubeVirt 1.8:
pkg/virt-launcher/virtwrap/live-migration-source.go (migrationMonitor). docs/migration-model.md has the table of
measurements against real QEMU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil, expm1, inf

DOWNTIME = 0.3
"""QEMU's default of downtime-limit."""
TURN = 0.1
"""QEMU spends a bandwidth limit in turns of so many seconds (BUFFER_DELAY): at the start of each, at once."""
TURN_OF_LINK = 0.05
"""The same where the link, and no limit, is what slows it down (MAX_WAIT)."""
PACKET = 512 * 1024
"""What a channel sends at a time (MULTIFD_PACKET_SIZE): a turn's share of the bandwidth is rounded up to it."""
THROTTLE_FIRST, THROTTLE_STEP, THROTTLE_MOST = 0.20, 0.10, 0.99
"""QEMU's cpu-throttle-initial, cpu-throttle-increment, max-cpu-throttle."""
THROTTLE_TRIGGER = 0.5
"""Part of what was sent that must have been written anew before the guest is slowed down."""
THROTTLE_LOOKS = 2
"""How often that must be seen. QEMU wanted it three times in 2016 (dirty_rate_high_cnt++ >= 2 in migration/ram.c)."""
THROTTLE_PERIOD = 1.0
"""Least time between two looks at that."""


class Ending(StrEnum):
    """How a migration ends."""

    PRE_COPY = "pre-copy"
    AUTO_CONVERGE = "auto-converge"
    POST_COPY = "post-copy"
    PAUSED = "paused"
    TIMED_OUT = "timed out"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Guest:
    """What of a virtual machine decides how long it takes."""

    memory: float
    """Memory in use, which the first round sends; pages of zeros cost next to nothing."""
    dirty_rate: float
    """Memory that is written anew each second."""
    working_set: float
    """The part of the memory that is written again and again: never more than this is dirty at a time."""
    disks: float = 0.0
    """Disks that are copied before the memory."""
    busy: float = 1.0
    """Part of the processors' time that it uses: throttling slows a guest down by what goes beyond the rest."""

    def written(self, dirty: float, seconds: float, throttle: float = 0.0) -> float:
        """Return how much more of the working set is dirty after so many seconds, when so much of it is already."""
        if not self.working_set:
            return 0.0
        return (self.working_set - dirty) * -expm1(-self.rate(throttle) * seconds / self.working_set)

    def rate(self, throttle: float) -> float:
        """Return the dirty rate of a guest that is slowed down by a part from 0 to below 1."""
        return self.dirty_rate * min(1.0, (1 - throttle) / self.busy) if self.busy else self.dirty_rate


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which limits a virtual machine migrates."""

    bandwidth: float = inf
    """The limit of each migration; infinite where there is none."""
    timeout: float = inf
    """When KubeVirt steps in, in seconds from the start; infinite where it does not."""
    auto_converge: bool = False
    post_copy: bool = False
    pause: bool = False
    """Whether KubeVirt may stop the guest when the timeout is over (allowWorkloadDisruption without post-copy)."""
    downtime: float = DOWNTIME
    channels: int = 0
    """Connections of multifd; 0 for the one that QEMU has without it."""

    @property
    def spent(self) -> float:
        """The bandwidth that QEMU comes to: with multifd, what it spends in a turn is rounded up to whole packets."""
        if self.channels == 0 or self.bandwidth == inf:
            return self.bandwidth
        return ceil(self.bandwidth * TURN / PACKET) * PACKET / TURN


@dataclass(slots=True)
class Run:
    """A migration on its way. `rate` is what the link leaves it now; advance it by what `until` says, or less."""

    guest: Guest
    terms: Terms
    elapsed: float = 0.0
    rate: float = inf
    phase: str = "disks"
    remaining: float = 0.0
    """Bytes of this phase that are to be sent."""
    ended: Ending | None = None
    sent: float = 0.0
    stopped: float = 0.0
    """Seconds for which the guest stands still."""
    throttle: float = 0.0
    paused: bool = False
    """Whether KubeVirt has stopped the guest, so that nothing is written any more."""
    _writing: float = field(default=0.0, init=False)
    """Seconds in which the guest has written since the dirty pages were last looked up."""
    _credit: float = field(default=inf, init=False)
    """What is left of this turn's share, at most the whole of it."""
    _in_set: float = field(default=0.0, init=False)
    """Part of what remains that lies in the working set."""
    _period: float = field(default=0.0, init=False)
    _period_sent: float = field(default=0.0, init=False)
    _period_dirty: float = field(default=0.0, init=False)
    _high: int = field(default=0, init=False)
    _before: tuple[float, float, float] = field(default=(inf, 0.0, 0.0), init=False)
    """What remained, the rate and the throttle at the end of the round before."""
    _gained: float = field(default=0.0, init=False)
    """What was left of a turn's share then."""
    _steady: bool = field(default=False, init=False)
    """Whether each round leaves as much as the one before it did, and so will the next."""

    def __post_init__(self) -> None:
        self.remaining = self.guest.disks
        self._in_set = min(1.0, self.guest.working_set / self.guest.memory) if self.guest.memory else 0.0
        if self.remaining <= 0:
            self._copy_memory()

    @property
    def wants(self) -> float:
        """The most that it sends now, when the link has room."""
        return inf if self.phase in {"hand-over", "post-copy"} else self.terms.spent

    @property
    def threshold(self) -> float:
        """What is left is sent with the guest stopped once it is below this."""
        return self.rate * self.terms.downtime

    @property
    def _watched(self) -> bool:
        """Whether the timeout still counts. KubeVirt doubles it for a guest that it paused: it is copied by then."""
        return self.phase in {"disks", "copy"} and not self.paused

    @property
    def _turn(self) -> float:
        return TURN if self.rate >= self.terms.spent else TURN_OF_LINK

    def until(self) -> float:
        """Return after how many seconds something happens at the present rate."""
        if self.ended:
            return inf
        if self.rate <= 0 or (self._steady and self._before[1] == self.rate):
            happens = inf
        elif self.phase == "copy":
            happens = self._round()
        else:
            happens = self.remaining / self.rate
        if self._watched:
            happens = min(happens, self.terms.timeout - self.elapsed)
        return happens

    def _round(self) -> float:
        """Return how long this round still lasts.

        QEMU looks at what is left once a turn, so that a round lasts whole turns, at least one; but where a turn's
        share, which is sent at once, is all that is left, it looks without waiting for the next turn.
        """
        share = self.rate * self._turn
        turns = max(1, ceil((self.remaining - self.threshold) / share))
        if self._bursts:
            turns = min(turns, max(0, ceil((self.remaining - min(self._credit, share)) / share)))
        return turns * self._turn

    @property
    def _bursts(self) -> bool:
        """Whether a turn's share is more than the downtime allows, so that it matters when in the turn it is sent."""
        return self.phase == "copy" and self.rate >= self.terms.spent and self.rate * TURN > self.threshold

    def advance(self, seconds: float) -> None:
        """Let so many seconds go by."""
        amount = min(self.remaining, self.rate * seconds)
        if self._bursts:
            most = min(self._credit, self.rate * TURN) + self.rate * seconds
            if self.remaining <= most + _LITTLE:
                amount, self._credit = self.remaining, most - self.remaining
            else:
                self._credit = self.rate * TURN
        self.remaining -= amount
        self.sent += amount
        self.elapsed += seconds
        if self.phase == "copy":
            self._writing += 0.0 if self.paused else seconds
            self._period += seconds
            self._period_sent += amount
        if self.paused or self.phase == "hand-over":
            self.stopped += seconds

    def happen(self) -> None:
        """Do what is due."""
        if self.phase == "disks" and self.remaining <= _LITTLE:
            self._copy_memory()
        elif self.phase == "copy" and self.remaining < self.threshold + _LITTLE:
            self._end_round()
        elif self.phase in {"hand-over", "post-copy"} and self.remaining <= _LITTLE:
            self._end()
        if self._watched and self.elapsed >= self.terms.timeout - _SOON:
            self._time_out()

    def _copy_memory(self) -> None:
        self.phase, self.remaining = "copy", self.guest.memory

    def _look_up(self) -> float:
        """Add the pages written since the last look to those that remain; return how many are new among them."""
        inside = self.remaining * self._in_set
        new = self.guest.written(inside, self._writing, self.throttle)
        self.remaining += new
        self._in_set = (inside + new) / self.remaining if self.remaining else 1.0
        self._writing = 0.0
        return new

    def _end_round(self) -> None:
        self._period_dirty += self._look_up()
        if self._period > THROTTLE_PERIOD:
            self._slow_down()
        now = (self.remaining, self.rate, self.throttle)
        left = self.throttle < THROTTLE_MOST and self.terms.auto_converge
        gains = self._bursts and self._credit > self._gained
        self._gained = self._credit
        self._steady = (
            not left and not gains and now[1:] == self._before[1:] and now[0] >= self._before[0] * (1 - _ALIKE)
        )
        self._before = now
        if self.remaining < self.threshold + _LITTLE:
            self.phase = "hand-over"

    def _slow_down(self) -> None:
        if self.terms.auto_converge and self._period_dirty > self._period_sent * THROTTLE_TRIGGER:
            self._high += 1
            if self._high == THROTTLE_LOOKS:
                self._high = 0
                self.throttle = min(THROTTLE_MOST, self.throttle + THROTTLE_STEP) if self.throttle else THROTTLE_FIRST
        self._period = self._period_sent = self._period_dirty = 0.0

    def _time_out(self) -> None:
        if self.phase == "copy" and self.terms.post_copy:
            self._look_up()
            self.phase = "post-copy"
        elif self.phase == "copy" and self.terms.pause:
            self.paused = True
            self._steady = False
        else:
            self.ended = Ending.TIMED_OUT

    def _end(self) -> None:
        if self.phase == "post-copy":
            self.ended = Ending.POST_COPY
        elif self.paused:
            self.ended = Ending.PAUSED
        else:
            self.ended = Ending.AUTO_CONVERGE if self.throttle else Ending.PRE_COPY


_LITTLE = 1.0
"""Bytes that count as nothing left."""
_SOON = 1e-9
_ALIKE = 1e-4
"""Part by which a round must leave less than the one before it, to be on the way to an end."""
