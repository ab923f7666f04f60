//! Dates in commands.

use super::cursor::{Cursor, Parsed, SyntaxError};

const MONTHS: [&[u8]; 12] = [
    b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC",
];

/// A calendar day. The fields compare in the order of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year, four digits.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31; exists in that month.
    pub day: u8,
}

/// A moment with its zone, as APPEND gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub unix: i64,
}

impl Date {
    /// ```abnf
    /// date      = date-text / DQUOTE date-text DQUOTE
    /// date-text = date-day "-" date-month "-" date-year
    /// date-day  = 1*2DIGIT
    /// ```
    ///
    /// # Errors
    /// Not a date, or a day that the calendar does not have.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.token()?;
        let quoted = cursor.eat(b'"');
        let day = digits(cursor, 1, 2)?;
        let date = Self::after_day(cursor, day)?;
        if quoted {
            cursor.expect(b'"')?;
        }
        Ok(date)
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        // Years start in March, so that the leap day comes last.
        let (year, month) = if self.month > 2 {
            (i64::from(self.year), i64::from(self.month) - 3)
        } else {
            (i64::from(self.year) - 1, i64::from(self.month) + 9)
        };
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
            - 719_468
    }

    fn after_day(cursor: &mut Cursor<'_>, day: u32) -> Parsed<Self> {
        cursor.expect(b'-')?;
        let name = cursor.take(3)?;
        let month = MONTHS
            .iter()
            .position(|month| month.eq_ignore_ascii_case(name))
            .and_then(|index| u8::try_from(index + 1).ok())
            .ok_or(SyntaxError::Malformed)?;
        cursor.expect(b'-')?;
        let year = digits(cursor, 4, 4)?;
        let year = u16::try_from(year).map_err(|_| SyntaxError::Malformed)?;
        let day = u8::try_from(day).map_err(|_| SyntaxError::Malformed)?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day == 0 || day > length {
            return Err(SyntaxError::Malformed);
        }
        Ok(Self { year, month, day })
    }
}

impl DateTime {
    /// ```abnf
    /// date-time      = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
    /// date-day-fixed = (SP DIGIT) / 2DIGIT
    /// time           = 2DIGIT ":" 2DIGIT ":" 2DIGIT
    /// zone           = ("+" / "-") 4DIGIT
    /// ```
    /// A one-digit day without its blank is accepted.
    ///
    /// # Errors
    /// Not a date and time.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.token()?;
        cursor.expect(b'"')?;
        cursor.eat(b' ');
        let day = digits(cursor, 1, 2)?;
        let date = Date::after_day(cursor, day)?;
        cursor.space()?;
        let hour = digits(cursor, 2, 2)?;
        cursor.expect(b':')?;
        let minute = digits(cursor, 2, 2)?;
        cursor.expect(b':')?;
        let second = digits(cursor, 2, 2)?;
        cursor.space()?;
        let west = match (cursor.eat(b'+'), cursor.eat(b'-')) {
            (true, false) => false,
            (false, true) => true,
            _ => return Err(SyntaxError::Malformed),
        };
        let zone = digits(cursor, 4, 4)?;
        let (zone_hour, zone_minute) = (zone / 100, zone % 100);
        cursor.expect(b'"')?;
        // Second 60 is a leap second.
        if hour > 23 || minute > 59 || second > 60 || zone_minute > 59 {
            return Err(SyntaxError::Malformed);
        }
        let local = date.days() * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
        let zone = i64::from(zone_hour * 3600 + zone_minute * 60);
        Ok(Self {
            unix: if west { local + zone } else { local - zone },
        })
    }
}

fn digits(cursor: &mut Cursor<'_>, least: usize, most: usize) -> Parsed<u32> {
    let run = cursor.take_while(|byte| byte.is_ascii_digit());
    if run.len() < least || run.len() > most {
        return Err(SyntaxError::Malformed);
    }
    Ok(run.iter().fold(0, |value, &digit| {
        value * 10 + u32::from(digit.wrapping_sub(b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date_time(text: &str) -> Option<i64> {
        let mut cursor = Cursor::new(text.as_bytes());
        let value = DateTime::parse(&mut cursor).ok()?;
        cursor.end().ok()?;
        Some(value.unix)
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(date_time("\"01-Jan-1970 00:00:00 +0000\""), Some(0));
        assert_eq!(
            date_time("\" 2-jan-2020 03:04:05 +0100\""),
            Some(1_577_930_645)
        );
        assert_eq!(
            date_time("\"29-Feb-2024 23:59:60 -0730\""),
            Some(1_709_278_200)
        );
        for bad in [
            "\"30-Feb-2024 00:00:00 +0000\"",
            "\"01-Jan-2024 24:00:00 +0000\"",
            "\"01-Jan-24 00:00:00 +0000\"",
            "\"01-Jan-2024 00:00:00\"",
            "01-Jan-2024 00:00:00 +0000",
            "\"01-Jan-2024 00:00:00 +0000",
        ] {
            assert_eq!(date_time(bad), None, "{bad}");
        }
        let parse = |text: &str| Date::parse(&mut Cursor::new(text.as_bytes()));
        assert_eq!(parse("1-Feb-1994").map(Date::days), Ok(8797));
        assert_eq!(parse("\"01-mar-2000\"").map(Date::days), Ok(11_017));
        assert!(parse("31-Apr-2000").is_err());
        assert!(parse("\"1-Apr-2000").is_err());
    }
}
