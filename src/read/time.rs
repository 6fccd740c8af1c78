//! Times as platforms write them.

use crate::clock::Timestamp;
use crate::provider::definition::TimeFormat;

/// `None` where the text is not of the format, or the time is outside the years 1 to 9999.
pub fn parse(text: &str, format: TimeFormat) -> Option<Timestamp> {
    let text = text.trim();
    match format {
        TimeFormat::Unix => decimal(text, 1_000_000_000),
        TimeFormat::UnixMs => decimal(text, 1_000_000),
        TimeFormat::Rfc3339 => text.parse().ok(),
        TimeFormat::IsoUtc => without_offset(text),
        TimeFormat::HttpDate => jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok(),
    }
}

/// One with an offset says itself what it means.
fn without_offset(text: &str) -> Option<Timestamp> {
    let civil = || {
        text.parse::<jiff::civil::DateTime>()
            .ok()?
            .to_zoned_datetime(jiff::tz::TimeZone::UTC)
            .ok()
    };
    text.parse().ok().or_else(|| Some(civil()?.timestamp()))
}

/// `1700000000.25`, exactly: `unit` nanoseconds each.
fn decimal(text: &str, unit: i128) -> Option<Timestamp> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 18;
    if whole.is_empty() || !number(whole) || !number(fraction) {
        return None;
    }
    let parts = 10_i128.pow(fraction.len() as u32);
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let nanoseconds = whole.parse::<i128>().ok()? * unit + fraction * unit / parts;
    Timestamp::from_nanosecond(sign * nanoseconds).ok()
}
