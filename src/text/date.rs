//! Dates: `date` and `date-time` of RFC 3501, the Date header of RFC 5322 (leniently), and conversion from and to Unix
//! time. No time zone database: the caller supplies offsets.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const SECONDS_PER_DAY: i64 = 86400;

/// A day of the Gregorian calendar. Ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Year, 0 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
}

/// A moment as somebody wrote it: day, time of day and zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// The day in the zone of the writer.
    pub date: Date,
    /// Seconds since midnight, 0 to 86400 (a leap second counts).
    pub second: u32,
    /// Minutes east of UTC.
    pub offset: i32,
}

impl Date {
    /// A date, if it exists.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        (year <= 9999 && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }

    /// The day on which a moment in Unix time falls, `offset` minutes east of UTC. Moments outside the years 0 to 9999
    /// give the first or last day of that span.
    #[must_use]
    pub fn of_unix(unix: i64, offset: i32) -> Self {
        Self::of_days(clamp(unix, offset).div_euclid(SECONDS_PER_DAY))
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn days(self) -> i64 {
        // Years counted from March, so that the leap day is the last of its year.
        let (year, month) = if self.month > 2 {
            (i64::from(self.year), i64::from(self.month) - 3)
        } else {
            (i64::from(self.year) - 1, i64::from(self.month) + 9)
        };
        let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        year * 365 + leaps + (month * 153 + 2) / 5 + i64::from(self.day) - 1 - 719_468
    }

    fn of_days(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day = days.rem_euclid(146_097);
        let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // The clamp of the callers keeps all three in range.
        Self {
            year: u16::try_from(year).unwrap_or(0),
            month: u8::try_from(month).unwrap_or(1),
            day: u8::try_from(day - (153 * march_month + 2) / 5 + 1).unwrap_or(1),
        }
    }

    /// Reads `date-text` of RFC 3501: `1-Jan-2020`, without quotes.
    #[must_use]
    pub fn parse_imap(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|&byte| byte == b'-');
        let day = number(parts.next()?, 1, 2)?;
        let month = month(parts.next().filter(|name| name.len() == 3)?)?;
        let year = number(parts.next()?, 4, 4)?;
        if parts.next().is_some() {
            return None;
        }
        Self::new(u16::try_from(year).ok()?, month, u8::try_from(day).ok()?)
    }
}

impl DateTime {
    /// Unix time in seconds.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.date.days() * SECONDS_PER_DAY + i64::from(self.second) - i64::from(self.offset) * 60
    }

    /// Reads `date-time` of RFC 3501, without quotes: `02-Jan-2020 03:04:05 +0100`. The day may have one digit, padded
    /// with a space or not.
    #[must_use]
    pub fn parse_imap(text: &[u8]) -> Option<Self> {
        let text = text.strip_prefix(b" ").unwrap_or(text);
        let mut parts = text.split(|&byte| byte == b' ');
        let date = Date::parse_imap(parts.next()?)?;
        let time = parts.next()?;
        let zone = parts.next()?;
        if parts.next().is_some() || time.len() != 8 {
            return None;
        }
        Some(Self {
            date,
            second: time_of_day(time)?,
            offset: numeric_zone(zone)?,
        })
    }

    /// Reads a Date header (RFC 5322 section 3.3 with the obsolete forms), and the deviations seen in mail: no weekday
    /// or a wrong one, comments, no seconds, two-digit years, month and day swapped, missing or unknown zone (taken for
    /// UTC), `asctime` and ISO order.
    #[must_use]
    pub fn parse_header(text: &[u8]) -> Option<Self> {
        let mut found = Found::default();
        let mut rest = text;
        let mut depth = 0u32;
        let mut token: &[u8] = b"";
        while let Some((&byte, after)) = rest.split_first() {
            let separator = matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'(' | b')');
            if separator || depth > 0 {
                if !token.is_empty() {
                    found.token(token);
                    token = b"";
                }
                match byte {
                    b'(' => depth = depth.saturating_add(1),
                    b')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                rest = after;
                continue;
            }
            let end = rest
                .iter()
                .position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'(' | b')'))
                .unwrap_or(rest.len());
            (token, rest) = rest.split_at_checked(end)?;
        }
        if !token.is_empty() {
            found.token(token);
        }
        let year = match (found.year?, found.year_digits) {
            (year @ 0..=49, 0..=2) => year + 2000,
            (year, 0..=3) => year + 1900,
            (year, _) => year,
        };
        Some(Self {
            date: Date::new(
                u16::try_from(year).ok()?,
                found.month?,
                u8::try_from(found.day?).ok()?,
            )?,
            second: found.second.unwrap_or(0),
            offset: found.offset.unwrap_or(0),
        })
    }
}

/// What the tokens of a Date header gave so far.
#[derive(Default)]
struct Found {
    day: Option<u32>,
    month: Option<u8>,
    year: Option<u32>,
    year_digits: usize,
    second: Option<u32>,
    offset: Option<i32>,
}

impl Found {
    fn token(&mut self, token: &[u8]) {
        if token.contains(&b':') {
            // ISO 8601 puts date and time into one token.
            let mut halves = token.splitn(2, |&byte| byte == b'T');
            match (halves.next(), halves.next()) {
                (Some(date), Some(time)) => {
                    self.token(date);
                    self.time(time);
                }
                _ => self.time(token),
            }
        } else if token.starts_with(b"+") || token.starts_with(b"-") {
            self.offset = self.offset.or_else(|| numeric_zone(token));
        } else if token.contains(&b'-') {
            let mut parts = token.split(|&byte| byte == b'-');
            let (Some(a), Some(b), Some(c)) = (parts.next(), parts.next(), parts.next()) else {
                return;
            };
            if a.len() == 4 && self.year.is_none() {
                self.year(a);
                self.month = number(b, 1, 2).and_then(|month| u8::try_from(month).ok());
                self.day = number(c, 1, 2);
            } else {
                self.token(a);
                self.token(b);
                self.year(c);
            }
        } else if let Some(month) = month(token) {
            self.month = self.month.or(Some(month));
        } else if token.first().is_some_and(u8::is_ascii_digit) {
            match number(token.strip_suffix(b".").unwrap_or(token), 1, 2) {
                Some(day) if self.day.is_none() => self.day = Some(day),
                _ if self.year.is_none() => self.year(token),
                _ => {}
            }
        } else if self.second.is_some() {
            self.offset = self.offset.or_else(|| named_zone(token));
        }
    }

    fn year(&mut self, token: &[u8]) {
        self.year = number(token, 2, 4);
        self.year_digits = token.len();
    }

    fn time(&mut self, token: &[u8]) {
        // A zone may be glued to it: 10:11:12+0100, or a Z.
        let end = token
            .iter()
            .skip(1)
            .position(|byte| matches!(byte, b'+' | b'-' | b'Z' | b'.'))
            .map(|n| n + 1);
        let (time, zone) = token
            .split_at_checked(end.unwrap_or(token.len()))
            .unwrap_or((token, b""));
        self.second = self.second.or_else(|| time_of_day(time));
        if matches!(zone.first(), Some(b'+' | b'-')) {
            self.offset = self.offset.or_else(|| numeric_zone(zone));
        }
    }
}

/// `hh:mm:ss` or `hh:mm`, one or two digits each; seconds since midnight.
fn time_of_day(text: &[u8]) -> Option<u32> {
    let mut parts = text.split(|&byte| byte == b':');
    let hour = number(parts.next()?, 1, 2)?;
    let minute = number(parts.next()?, 1, 2)?;
    let second = parts.next().map_or(Some(0), |part| number(part, 1, 2))?;
    (hour < 24 && minute < 60 && second <= 60 && parts.next().is_none())
        .then_some(hour * 3600 + minute * 60 + second)
}

/// `+hhmm` or `-hhmm` (with a colon too); minutes east of UTC.
fn numeric_zone(text: &[u8]) -> Option<i32> {
    let (sign, digits) = text.split_first()?;
    let (hours, minutes) = match digits {
        [a, b, b':', c, d] | [a, b, c, d] => ([*a, *b], [*c, *d]),
        _ => return None,
    };
    let (hours, minutes) = (number(&hours, 2, 2)?, number(&minutes, 2, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = i32::try_from(hours * 60 + minutes).ok()?;
    match sign {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

/// Zone names of RFC 5322 section 4.3. Military letters and unknown names mean nothing reliable: UTC.
fn named_zone(name: &[u8]) -> Option<i32> {
    const ZONES: [(&str, i32); 10] = [
        ("EST", -300),
        ("EDT", -240),
        ("CST", -360),
        ("CDT", -300),
        ("MST", -420),
        ("MDT", -360),
        ("PST", -480),
        ("PDT", -420),
        ("UT", 0),
        ("GMT", 0),
    ];
    ZONES
        .iter()
        .find(|(zone, _)| name.eq_ignore_ascii_case(zone.as_bytes()))
        .map(|&(_, offset)| offset)
}

/// A month by its English name or the first three letters of it.
fn month(name: &[u8]) -> Option<u8> {
    let start = name.get(..3)?;
    if !name.iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    (1..)
        .zip(MONTHS)
        .find(|(_, month)| start.eq_ignore_ascii_case(month.as_bytes()))
        .map(|(number, _)| number)
}

/// A decimal number of `min` to `max` digits (at most 9).
fn number(text: &[u8], min: usize, max: usize) -> Option<u32> {
    if !(min..=max).contains(&text.len()) || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        text.iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0')),
    )
}

/// Local seconds within the years 0 to 9999.
fn clamp(unix: i64, offset: i32) -> i64 {
    unix.saturating_add(i64::from(offset) * 60)
        .clamp(-62_167_219_200, 253_402_300_799)
}

/// INTERNALDATE without its quotes: `02-Jan-2020 03:04:05 +0100`. `unix` is seconds, `offset` minutes east of UTC.
#[must_use]
pub fn format_imap(unix: i64, offset: i32) -> String {
    let local = clamp(unix, offset);
    let date = Date::of_days(local.div_euclid(SECONDS_PER_DAY));
    let second = local.rem_euclid(SECONDS_PER_DAY);
    let month = MONTHS
        .get(usize::from(date.month.saturating_sub(1)))
        .copied()
        .unwrap_or("Jan");
    let sign = if offset < 0 { '-' } else { '+' };
    let zone = offset.unsigned_abs();
    format!(
        "{:02}-{month}-{:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
        date.day,
        date.year,
        second / 3600,
        second / 60 % 60,
        second % 60,
        zone / 60,
        zone % 60
    )
}

/// The `Date` field of a message (RFC 5322 section 3.3): `Thu, 02 Jan 2020 03:04:05 +0100`.
#[must_use]
pub fn format_rfc5322(unix: i64, offset: i32) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let days = clamp(unix, offset)
        .div_euclid(SECONDS_PER_DAY)
        .rem_euclid(7);
    let day = usize::try_from(days)
        .ok()
        .and_then(|day| DAYS.get(day))
        .copied()
        .unwrap_or("Thu");
    let date = format_imap(unix, offset);
    // The same but for the dashes of the date.
    format!("{day}, {}", date.replacen('-', " ", 2))
}

#[cfg(test)]
mod tests {
    use super::{Date, DateTime, format_imap, format_rfc5322};
    use proptest::prelude::*;
    use std::hint::black_box;

    #[test]
    fn message_dates() {
        assert_eq!(format_rfc5322(0, 0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(
            format_rfc5322(1_795_547_603, -90),
            "Tue, 24 Nov 2026 17:43:23 -0130"
        );
        assert!(DateTime::parse_header(format_rfc5322(1_795_547_603, 60).as_bytes()).is_some());
    }

    #[test]
    fn imap_forms() {
        let date = Date::new(2020, 1, 2);
        assert_eq!(Date::parse_imap(b"2-Jan-2020"), date);
        assert_eq!(Date::parse_imap(b"02-JAN-2020"), date);
        for bad in [
            &b"30-Feb-2020"[..],
            b"2-Jan-20",
            b"2-Janvier-2020",
            b"2 Jan 2020",
            b"",
            b"2-Jan-2020-",
            b"0-Jan-2020",
        ] {
            assert_eq!(Date::parse_imap(bad), None, "{}", bad.escape_ascii());
        }
        let moment = DateTime::parse_imap(b"02-Jan-2020 03:04:05 +0100").unwrap();
        assert_eq!(moment.unix(), 1_577_930_645);
        assert_eq!(
            DateTime::parse_imap(b" 2-Jan-2020 03:04:05 +0100"),
            Some(moment)
        );
        assert_eq!(
            DateTime::parse_imap(b"2-Jan-2020 02:04:05 +0000").map(DateTime::unix),
            Some(moment.unix())
        );
        assert_eq!(DateTime::parse_imap(b"2-Jan-2020 25:04:05 +0000"), None);
        assert_eq!(DateTime::parse_imap(b"2-Jan-2020 02:04:05"), None);
        assert_eq!(format_imap(1_577_930_645, 60), "02-Jan-2020 03:04:05 +0100");
        assert_eq!(format_imap(-1, -210), "31-Dec-1969 20:29:59 -0330");
        assert_eq!(format_imap(i64::MAX, 0), "31-Dec-9999 23:59:59 +0000");
    }

    #[test]
    fn header_forms() {
        for (text, expected) in [
            (
                "Mon, 02 Jan 2023 10:11:12 +0100",
                "02-Jan-2023 10:11:12 +0100",
            ),
            (
                "Mon, 02 Jan 2023 10:11:12 +0100 (CET)",
                "02-Jan-2023 10:11:12 +0100",
            ),
            ("2 Jan 2023 10:11 GMT", "02-Jan-2023 10:11:00 +0000"),
            (
                "Fri, 21 Nov 97 09:55:06 -0600",
                "21-Nov-1997 09:55:06 -0600",
            ),
            ("21 Nov 03 9:55:06 EST", "21-Nov-2003 09:55:06 -0500"),
            (
                "Thu,\r\n      13\r\n        Feb\r\n  1969\r\n  23:32 -0330 (Newfoundland)",
                "13-Feb-1969 23:32:00 -0330",
            ),
            ("Mon Jan  2 10:11:12 2023", "02-Jan-2023 10:11:12 +0000"),
            ("Mon Jan  2 10:11:12 PST 2023", "02-Jan-2023 10:11:12 -0800"),
            ("2023-01-02T10:11:12Z", "02-Jan-2023 10:11:12 +0000"),
            ("2023-01-02 10:11:12 +0200", "02-Jan-2023 10:11:12 +0200"),
            ("02-January-2023 10:11:12", "02-Jan-2023 10:11:12 +0000"),
            ("Jan 2, 2023 10:11:12", "02-Jan-2023 10:11:12 +0000"),
        ] {
            let moment =
                DateTime::parse_header(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                format_imap(moment.unix(), moment.offset),
                expected,
                "{text}"
            );
        }
        for bad in [
            "",
            "yesterday",
            "32 Jan 2023",
            "2 Foo 2023",
            "((((((",
            "2-",
            "-",
            ":",
            "T:",
        ] {
            assert_eq!(DateTime::parse_header(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn days_round_trip(days in -719_528i64..2_932_897) {
            prop_assert_eq!(Date::of_days(days).days(), days);
        }

        #[test]
        fn format_parses_back(unix in -62_000_000_000i64..253_000_000_000, offset in -720i32..840) {
            let text = format_imap(unix, offset);
            let moment = DateTime::parse_imap(text.as_bytes()).unwrap();
            prop_assert_eq!(moment.unix(), unix);
            prop_assert_eq!(moment.offset, offset);
            prop_assert_eq!(moment.date, Date::of_unix(unix, offset));
        }

        #[test]
        fn no_bytes_panic(text in "[0-9a-zA-Z:+() ,.-]{0,40}", bytes: Vec<u8>) {
            black_box(DateTime::parse_header(text.as_bytes()));
            black_box(DateTime::parse_header(&bytes));
            black_box(DateTime::parse_imap(&bytes));
        }
    }
}
