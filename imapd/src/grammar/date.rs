//! Dates in commands; the calendar itself is [`courier::text::date`].

use courier::text::date::{Date, DateTime};

use super::cursor::{Cursor, Parsed, SyntaxError};

/// ```abnf
/// date      = date-text / DQUOTE date-text DQUOTE
/// date-text = date-day "-" date-month "-" date-year
/// date-day  = 1*2DIGIT
/// ```
///
/// # Errors
/// Not a date, or a day that the calendar does not have.
pub fn date(cursor: &mut Cursor<'_>) -> Parsed<Date> {
    cursor.token()?;
    let quoted = cursor.eat(b'"');
    let text = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if quoted {
        cursor.expect(b'"')?;
    }
    Date::parse_imap(text).ok_or(SyntaxError::Malformed)
}

/// ```abnf
/// date-time      = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
/// date-day-fixed = (SP DIGIT) / 2DIGIT
/// time           = 2DIGIT ":" 2DIGIT ":" 2DIGIT
/// zone           = ("+" / "-") 4DIGIT
/// ```
///
/// # Errors
/// Not a date and time.
pub fn date_time(cursor: &mut Cursor<'_>) -> Parsed<DateTime> {
    cursor.token()?;
    cursor.expect(b'"')?;
    let text = cursor.take_while(|byte| byte != b'"' && byte != b'\\');
    cursor.expect(b'"')?;
    DateTime::parse_imap(text).ok_or(SyntaxError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_stand_with_or_without_quotes_and_times_only_with() {
        for text in ["1-Feb-1994", "\"01-feb-1994\""] {
            assert!(date(&mut Cursor::new(text.as_bytes())).is_ok(), "{text}");
        }
        for text in ["\"1-Feb-1994", "31-Apr-2000", ""] {
            assert!(date(&mut Cursor::new(text.as_bytes())).is_err(), "{text}");
        }
        let parse = |text: &str| date_time(&mut Cursor::new(text.as_bytes())).map(DateTime::unix);
        assert_eq!(parse("\" 2-jan-2020 03:04:05 +0100\""), Ok(1_577_930_645));
        assert!(parse("02-Jan-2020 03:04:05 +0100").is_err());
        assert!(parse("\"02-Jan-2020 03:04:05 +0100").is_err());
    }
}
