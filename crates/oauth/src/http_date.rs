//! Dates of HTTP headers (RFC 9110 §5.6.7), and `Retry-After` (§10.2.3), which may be one.

use std::time::Duration;

use http::header::{HeaderMap, RETRY_AFTER};

use crate::time::UnixTime;

/// How long to wait, from `Retry-After`: seconds, or a date after `now`. `None` when there is no
/// such header, or it cannot be read.
pub fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => parse(value).map(|then| then.since(now)),
    }
}

/// Reads a date in any of the three forms recipients must accept.
pub fn parse(text: &str) -> Option<UnixTime> {
    // Sun, 06 Nov 1994 08:49:37 GMT / Sunday, 06-Nov-94 08:49:37 GMT / Sun Nov  6 08:49:37 1994
    let words: Vec<&str> = text
        .split([' ', '-'])
        .filter(|word| !word.is_empty())
        .collect();
    let ([_, day, month, year, time, "GMT"] | [_, month, day, time, year]) = words[..] else {
        return None;
    };
    let number = |text: &str| match text.len() {
        1..=4 if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<u64>().ok(),
        _ => None,
    };
    let month = 1 + MONTHS.iter().position(|name| *name == month)? as u64;
    let year = match (year.len(), number(year)?) {
        (4, year) => year,
        // RFC 850 has two digits; those seeming more than 50 years ahead are of the last century.
        (2, year) if year < 70 => 2000 + year,
        (2, year) => 1900 + year,
        _ => return None,
    };
    let mut clock = time.split(':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let day = number(day)?;
    let exists = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if clock.next().is_some() || year < 1970 || !exists {
        return None;
    }
    let days = days_since_1970(year, month, day);
    Some(UnixTime::from_secs(
        days * 86_400 + hour * 3600 + minute * 60 + second.min(59),
    ))
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Days from 1970-01-01 in the Gregorian calendar; `year` ≥ 1970, `month` and `day` from 1. Years
/// are counted from March, so the leap day is the last one.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days_of_months = (153 * month + 2) / 5;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + days_of_months + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn the_three_examples_of_rfc_9110_are_one_instant() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                parse(text),
                Some(UnixTime::from_secs(784_111_777)),
                "{text}"
            );
        }
    }

    #[test]
    fn leap_days_and_the_epoch_are_counted() {
        let at = |text| parse(text).map(UnixTime::as_secs);
        assert_eq!(at("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(at("Tue, 29 Feb 2000 23:59:60 GMT"), Some(951_868_799));
        assert_eq!(at("Mon, 01 Mar 2100 00:00:00 GMT"), Some(4_107_542_400));
    }

    #[test]
    fn other_texts_are_no_dates() {
        for bad in [
            "",
            "now",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, +6 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UnixTime::from_secs(784_111_770);
        let wait = |value: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,64}") {
            let _ = parse(&text);
        }

        #[test]
        fn date_like_text_never_panics(
            text in "[A-Z][a-z]{2},? [0-9]{1,5}[ -](Jan|Feb|Dec)[ -][0-9]{1,5} [0-9:]{0,9}( GMT)?"
        ) {
            let _ = parse(&text);
        }
    }
}
