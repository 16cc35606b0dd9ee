//! Dates as HTTP (RFC 9110 §5.6.7), Entra's error answers and certificates write them.

use keyward_oauth::time::UnixTime;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `Thu, 01 Jan 1970 00:00:00 GMT`, the value of `Date`.
pub(crate) fn http_date(time: UnixTime) -> String {
    let days = time.as_secs() / 86_400;
    let (year, month, day) = civil(days);
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or(0)];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0) % 12];
    format!(
        "{weekday}, {day:02} {month} {year:04} {} GMT",
        time_of_day(time)
    )
}

/// `1970-01-01 00:00:00Z`, the value of `timestamp` in an AADSTS error.
pub(crate) fn entra_timestamp(time: UnixTime) -> String {
    let (year, month, day) = civil(time.as_secs() / 86_400);
    format!("{year:04}-{month:02}-{day:02} {}Z", time_of_day(time))
}

fn time_of_day(time: UnixTime) -> String {
    let seconds = time.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar, counted in
/// years that begin on 1 March, so that the leap day is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // 0000-03-01
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_rfc_9110_and_around_leap_days() {
        let at = UnixTime::from_secs;
        assert_eq!(http_date(at(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(at(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(entra_timestamp(at(951_782_400)), "2000-02-29 00:00:00Z");
        assert_eq!(entra_timestamp(at(951_868_799)), "2000-02-29 23:59:59Z");
        assert_eq!(entra_timestamp(at(951_868_800)), "2000-03-01 00:00:00Z");
        assert_eq!(entra_timestamp(at(1_735_689_599)), "2024-12-31 23:59:59Z");
    }
}
