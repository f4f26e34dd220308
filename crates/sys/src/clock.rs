//! Clocks and the one alarm a process waits on.
//!
//! Invariants: deadlines count suspended time too (`CLOCK_BOOTTIME`), so that a limit of 30 minutes
//! is over 30 minutes later also when the machine slept.
//! Deliberately absent: time zones and calendars.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// Nanoseconds since the Unix epoch by the wall clock, which may jump.
pub fn wall_ns() -> i64 {
    let t = clock_gettime(ClockId::Realtime);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// Milliseconds since the Unix epoch by the wall clock, which may jump.
pub fn wall_ms() -> i64 {
    wall_ns() / 1_000_000
}

/// Milliseconds since the machine was booted, suspended time included. Never jumps.
pub fn boot_ms() -> u64 {
    boot_ns() / 1_000_000
}

/// Nanoseconds since the machine was booted, suspended time included. Never jumps.
pub fn boot_ns() -> u64 {
    let t = clock_gettime(ClockId::Boottime);
    u64::try_from(t.tv_sec * 1_000_000_000 + t.tv_nsec).unwrap_or(0)
}

/// A descriptor that becomes readable at a time of [`boot_ms`].
#[derive(Debug)]
pub struct Alarm {
    fd: OwnedFd,
    set_to_ms: Option<u64>,
}

impl Alarm {
    /// A new alarm, not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self {
            fd: timerfd_create(TimerfdClockId::Boottime, flags)?,
            set_to_ms: None,
        })
    }

    /// Sets it to a time of [`boot_ms`], or clears it. Costs nothing when nothing changes.
    pub fn set(&mut self, at_ms: Option<u64>) -> io::Result<()> {
        if self.set_to_ms == at_ms {
            return Ok(());
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A value of zero would disarm it: the earliest time that can be asked for is 1 ms after
        // boot.
        let value = at_ms.map_or(zero, |ms| timespec_of_ms(ms.max(1)));
        let timer = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &timer)?;
        self.set_to_ms = at_ms;
        Ok(())
    }

    /// Takes note that it went off; it can then be set anew to the same time.
    pub fn acknowledge(&mut self) {
        let mut count = [0u8; 8];
        if rustix::io::read(&self.fd, &mut count).is_ok() {
            self.set_to_ms = None;
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A descriptor that becomes readable when the wall clock is set: timerfd_create(2),
/// `TFD_TIMER_CANCEL_ON_SET`.
#[derive(Debug)]
pub struct SetWatch {
    fd: OwnedFd,
}

impl SetWatch {
    /// Watches from now on.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let watch = Self {
            fd: timerfd_create(TimerfdClockId::Realtime, flags)?,
        };
        watch.arm()?;
        Ok(watch)
    }

    /// Takes note, and watches on.
    ///
    /// # Errors
    /// When the system does not allow it any more.
    pub fn acknowledge(&self) -> io::Result<()> {
        let mut count = [0u8; 8];
        // That the clock was set is told as an error; anything else would be told again.
        let _ = rustix::io::read(&self.fd, &mut count);
        self.arm()
    }

    /// For a time that never comes.
    fn arm(&self) -> io::Result<()> {
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let timer = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: i64::from(i32::MAX) * 4,
                tv_nsec: 0,
            },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.fd, flags, &timer)?;
        Ok(())
    }
}

impl AsFd for SetWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for SetWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Milliseconds as the kernel wants them.
pub(crate) fn timespec_of_ms(ms: u64) -> Timespec {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    // The remainder is below 1,000, so the product is below 10^9.
    Timespec {
        tv_sec: seconds,
        tv_nsec: ((ms % 1_000) * 1_000_000) as _,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fd::{Interest, wait};

    #[test]
    fn an_alarm_in_the_past_goes_off_at_once_and_can_be_set_again() {
        let mut alarm = Alarm::new().unwrap();
        for _ in 0..2 {
            alarm.set(Some(boot_ms().saturating_sub(5))).unwrap();
            assert!(wait(alarm.as_fd(), Interest::Read, Some(5_000)).unwrap());
            alarm.acknowledge();
        }
        alarm.set(None).unwrap();
        assert!(!wait(alarm.as_fd(), Interest::Read, Some(0)).unwrap());
    }

    #[test]
    fn the_wall_clock_is_after_2025() {
        assert!(wall_ms() > 1_735_689_600_000);
    }
}
