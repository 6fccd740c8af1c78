//! Signed timestamps: read strictly, and judged only after the signature holds.

use jiff::SignedDuration;

use crate::clock::Timestamp;
use crate::provider::Settings;
use crate::provider::definition::{TimeFormat, TimestampRule};

use super::VerifyError;
use super::find::{Allowed, Finder};
use super::pointers::Pointers;
use super::problems::Problems;

/// A [`TimestampRule`], compiled.
#[derive(Debug)]
pub(crate) struct SignedTime {
    pub from: Finder,
    pub format: TimeFormat,
    tolerance: Option<SignedDuration>,
}

impl SignedTime {
    /// `None` too where the rule names no place: the delivery has no timestamp.
    pub fn compile(
        rule: &TimestampRule,
        settings: &Settings,
        pointers: &mut Pointers,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        const ALLOWED: Allowed = Allowed {
            field: true,
            claim: true,
            part: false,
        };
        if rule.from.is_nowhere() {
            return None;
        }
        let tolerance = match rule.tolerance.as_deref().map(str::parse::<SignedDuration>) {
            Some(Ok(tolerance)) if tolerance.is_positive() => Some(tolerance),
            Some(_) => return problems.none("tolerance is no duration; expected such as `5m`"),
            None => None,
        };
        Some(Self {
            from: Finder::compile(&rule.from, ALLOWED, settings, pointers, problems)?,
            format: rule.format,
            tolerance,
        })
    }

    pub fn parse(&self, text: &[u8]) -> Result<Timestamp, VerifyError> {
        parse(self.format, text).ok_or(VerifyError::Timestamp)
    }

    /// Too old is refused.
    pub fn is_bounded(&self) -> bool {
        self.tolerance.is_some()
    }

    /// Both ways. Only for a time that the signature covers, and after it held: then `Stale` is the truth.
    pub fn judge(&self, signed: Timestamp, now: Timestamp) -> Result<(), VerifyError> {
        let Some(tolerance) = self.tolerance else {
            return Ok(());
        };
        let age = now.duration_since(signed);
        if age > tolerance {
            return Err(VerifyError::Stale(age.as_secs()));
        }
        if -age > tolerance {
            return Err(VerifyError::Future(-age.as_secs()));
        }
        Ok(())
    }
}

fn parse(format: TimeFormat, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    match format {
        TimeFormat::Unix => Timestamp::from_second(digits(text, 12)?).ok(),
        TimeFormat::UnixMs => Timestamp::from_millisecond(digits(text, 15)?).ok(),
        TimeFormat::Rfc3339 => text.parse().ok().filter(|_| text.len() <= 40),
        TimeFormat::IsoUtc => {
            // One with an offset says itself what it means; the parser of civil times would pass over it.
            let civil = || {
                text.parse::<jiff::civil::DateTime>()
                    .ok()?
                    .to_zoned_datetime(jiff::tz::TimeZone::UTC)
                    .ok()
            };
            text.parse()
                .ok()
                .or_else(|| Some(civil()?.timestamp()))
                .filter(|_| text.len() <= 40)
        }
        TimeFormat::HttpDate => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new()
                .parse_zoned_datetime(text)
                .ok()?;
            (text.len() <= 40).then(|| date.timestamp())
        }
    }
}

/// Digits only: no sign, no space, no fraction, so that there is one way to write a time.
fn digits(text: &str, most: usize) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// As the platform would write it.
pub(crate) fn write(format: TimeFormat, time: Timestamp) -> String {
    match format {
        TimeFormat::Unix => time.as_second().to_string(),
        TimeFormat::UnixMs => time.as_millisecond().to_string(),
        TimeFormat::Rfc3339 => format!("{time:.3}"),
        TimeFormat::IsoUtc => time.strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string(),
        TimeFormat::HttpDate => time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_strictly() {
        for bad in ["", "+1", "-1", " 1", "1 ", "1.0", "1e9", "0x1", "1234567890123", "१"] {
            assert_eq!(parse(TimeFormat::Unix, bad.as_bytes()), None, "{bad:?}");
        }
        let expected = Timestamp::from_second(1_700_000_000).ok();
        assert_eq!(parse(TimeFormat::Unix, b"1700000000"), expected);
        assert_eq!(parse(TimeFormat::UnixMs, b"1700000000000"), expected);
        assert_eq!(parse(TimeFormat::Rfc3339, b"2023-11-14T22:13:20Z"), expected);
        assert_eq!(parse(TimeFormat::HttpDate, b"Tue, 14 Nov 2023 22:13:20 GMT"), expected);
    }

    #[test]
    fn a_written_time_reads_the_same() {
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        for format in [
            TimeFormat::Unix,
            TimeFormat::UnixMs,
            TimeFormat::Rfc3339,
            TimeFormat::IsoUtc,
            TimeFormat::HttpDate,
        ] {
            assert_eq!(parse(format, write(format, time).as_bytes()), Some(time), "{format:?}");
        }
    }
}
