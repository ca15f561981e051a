//! The date a message says it was sent, for SENTBEFORE, SENTON and SENTSINCE.

use super::field;
use crate::mime::lexer::Lexer;

const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// The day in the Date field as written, in days since 1970-01-01, disregarding time
/// and zone (RFC 3501 §6.4.4). `None` if there is no date that can be read.
#[must_use]
pub fn sent_date(header: &[u8]) -> Option<i64> {
    let date = field(header, "Date")?;
    let mut lexer = Lexer::new(date.value);
    let mut word = next_word(&mut lexer);
    if !word.first()?.is_ascii_digit() {
        word = next_word(&mut lexer);
    }
    let day = number(word)?;
    let name = next_word(&mut lexer).get(..3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| name == month.as_slice())?;
    let year = next_word(&mut lexer);
    let year = match (year.len(), number(year)?) {
        // RFC 5322 §4.3: years of two and three digits.
        (2, year) if year < 50 => year + 2000,
        (2 | 3, year) => year + 1900,
        (_, year) => year,
    };
    let month = i64::try_from(month).ok()? + 1;
    (1..=31)
        .contains(&day)
        .then(|| days_from_civil(year, month, day))
}

/// The next atom; commas, hyphens and comments only separate.
fn next_word<'a>(lexer: &mut Lexer<'a>) -> &'a [u8] {
    loop {
        lexer.skip_cfws();
        if !(lexer.eat(b',') || lexer.eat(b'-') || lexer.eat(b'.')) {
            return lexer.take_while(|octet| octet.is_ascii_alphanumeric());
        }
    }
}

/// A number of at most nine digits.
fn number(word: &[u8]) -> Option<i64> {
    if word.len() > 9 {
        return None;
    }
    core::str::from_utf8(word).ok()?.parse().ok()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, which may lie before.
/// Years are counted from March, so that the leap day ends one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(date: &str) -> Option<i64> {
        sent_date(format!("Date: {date}\r\n\r\n").as_bytes())
    }

    #[test]
    fn the_day_is_the_one_written() {
        assert_eq!(of("Thu, 1 Jan 1970 00:00:00 +0000"), Some(0));
        assert_eq!(of("Wed, 31 Dec 1969 23:59:59 -1200"), Some(-1));
        assert_eq!(of("29 Feb 2000 01:02 EST"), Some(11_016));
        assert_eq!(of("Fri, 07 Oct 94 16:15:05 -0700 (PDT)"), Some(9_045));
        assert_eq!(of("(c) Mon ,\r\n 2-JANUARY-2023"), Some(19_359));
    }

    #[test]
    fn what_is_no_date_has_no_day() {
        for date in [
            "",
            "yesterday",
            "Mon, 40 Jan 2000",
            "Mon, 3 Foo 2000",
            "1 Jan",
            "12345678901 Jan 1",
        ] {
            assert_eq!(of(date), None, "{date}");
        }
    }
}
