//! Sizes and durations as an operator writes them: `10GiB`, `512KB`, `7d`, `1.5s`, `250ms`.
//!
//! Units live in the value, never in a setting's name. A duration needs its unit; a bare number is refused,
//! because nobody can tell seconds from milliseconds. A bare number is a size in bytes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A number of bytes. `KiB`/`MiB`/`GiB`/`TiB` are powers of 1024, `kB`/`MB`/`GB`/`TB` powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A length of time, at least a nanosecond fine. A day is 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(Duration);

/// Text that is no size or no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("`{0}` is not a size; write a whole number of bytes, or a number with a unit such as `512KiB` or `10GiB`")]
    Size(String),
    #[error("`{0}` is not a duration; write a number with a unit such as `250ms`, `1.5s`, `10m`, `24h` or `7d`")]
    Duration(String),
}

/// `KB` is read like `kB`, the SI spelling, and never printed.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl ByteSize {
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }
    pub const fn gib(gib: u64) -> Self {
        Self(gib << 30)
    }
    pub const fn as_u64(self) -> u64 {
        self.0
    }
    /// For comparison with lengths in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Size(text.into());
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let unit = unit.trim_start();
        let factor = match unit {
            "" => 1,
            unit => SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.contains('.') || number.ends_with('.') || fraction.len() > 9 {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let mut bytes = u128::from(whole) * u128::from(factor);
        if !fraction.is_empty() {
            let scale = 10u128.pow(fraction.len() as u32);
            let part = u128::from(fraction.parse::<u64>().map_err(|_| wrong())?) * u128::from(factor);
            // `1.5B` is no size; `1.1GiB` is not whole either, but nobody means more than its whole bytes.
            if factor == 1 {
                return Err(wrong());
            }
            bytes += part / scale;
        }
        u64::try_from(bytes).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS
            .iter()
            .filter(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        match exact.max_by_key(|(name, factor)| (*factor, *name != "KB")) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl HumanDuration {
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
    pub const fn from_hours(hours: u64) -> Self {
        Self(Duration::from_secs(hours * 3600))
    }
    pub const fn from_days(days: u64) -> Self {
        Self(Duration::from_secs(days * 86_400))
    }
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Duration(text.into());
        let span: jiff::Span = text.trim().parse().map_err(|_| wrong())?;
        // Months and years have no fixed length: `to_duration` refuses them.
        let signed = span
            .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
            .map_err(|_| wrong())?;
        Duration::try_from(signed).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let nanos = self.0.subsec_nanos();
        match (secs, nanos) {
            (0, 0) => f.write_str("0s"),
            (secs, 0) if secs.is_multiple_of(86_400) => write!(f, "{}d", secs / 86_400),
            (secs, 0) if secs.is_multiple_of(3600) => write!(f, "{}h", secs / 3600),
            (secs, 0) if secs.is_multiple_of(60) => write!(f, "{}m", secs / 60),
            (secs, 0) => write!(f, "{secs}s"),
            (_, nanos) if nanos.is_multiple_of(1_000_000) => write!(f, "{}ms", self.0.as_millis()),
            (_, nanos) if nanos.is_multiple_of(1_000) => write!(f, "{}us", self.0.as_micros()),
            _ => write!(f, "{}ns", self.0.as_nanos()),
        }
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as `10GiB`, or a whole number of bytes")
    }
    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }
    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
        u64::try_from(bytes)
            .map(ByteSize)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as `250ms`, `1.5s` or `7d`")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("10GiB", 10 << 30),
            ("1.5KiB", 1536),
            ("512 KB", 512_000),
            ("2kB", 2000),
            ("1TiB", 1 << 40),
            ("7B", 7),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in [
            "",
            "GiB",
            "1.5",
            "-1",
            "1..5KiB",
            "1.KiB",
            "10 gib",
            "1XB",
            "99999999999TiB",
            "1e3",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn reads_durations_as_people_write_them() {
        for (text, millis) in [
            ("7d", 604_800_000),
            ("24h", 86_400_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("2w", 1_209_600_000),
            ("10m", 600_000),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(HumanDuration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_durations_without_a_unit_or_of_no_fixed_length() {
        for text in ["", "7", "1.5", "1mo", "1y", "-3s", "3s ago", "ten seconds"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads_back() {
        for size in [0, 1, 1023, 1024, 1 << 30, 10 << 30, 1_000_000, 2_000, 123_456_789] {
            let size = ByteSize::bytes(size);
            assert_eq!(size.to_string().parse(), Ok(size), "{size}");
        }
        for nanos in [0, 1, 1_500, 250_000_000, 1_500_000_000, 604_800_000_000_000] {
            let duration = HumanDuration::from(Duration::from_nanos(nanos));
            assert_eq!(duration.to_string().parse(), Ok(duration), "{duration}");
        }
        assert_eq!(ByteSize::gib(10).to_string(), "10GiB");
        assert_eq!(HumanDuration::from_days(7).to_string(), "7d");
    }
}
