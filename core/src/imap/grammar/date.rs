//! Dates of SEARCH (`date`) and date-times of APPEND and INTERNALDATE (`date-time`,
//! RFC 3501 §9), in the proleptic Gregorian calendar.

use super::cursor::{Cursor, ascii};
use super::{Parsed, bad};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY_SECONDS: i64 = 86_400;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The day `day` (from 1) of `month` (from 1); `None` if there is no such day or the
    /// year has more than four digits.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let exists = year <= 9999
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day);
        exists.then_some(Self { year, month, day })
    }

    /// The year, 0 to 9999.
    #[must_use]
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    #[must_use]
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    #[must_use]
    pub fn day(self) -> u8 {
        self.day
    }

    /// Days since 1970-01-01, negative before.
    #[must_use]
    pub fn days_since_epoch(self) -> i64 {
        // Years are counted from March, so that the leap day is the last of its year.
        let month = (i64::from(self.month) + 9) % 12;
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let days_before_month = (month * 153 + 2) / 5;
        year * 365 + leap_days + days_before_month + i64::from(self.day) - 1 - 719_468
    }

    /// The day that is `days` after 1970-01-01; the first or last day of the calendar
    /// if `days` lies outside of the years 0 to 9999.
    #[must_use]
    pub fn from_days_since_epoch(days: i64) -> Self {
        let first = Self {
            year: 0,
            month: 1,
            day: 1,
        };
        let last = Self {
            year: 9999,
            month: 12,
            day: 31,
        };
        if days <= first.days_since_epoch() {
            return first;
        }
        if days >= last.days_since_epoch() {
            return last;
        }
        // 400 years are 146,097 days, so the estimate is right or one year off.
        let estimate = ((days + 719_528) * 400).div_euclid(146_097);
        let start = |year: i64| Self {
            year: u16::try_from(year.clamp(0, 9999)).expect("clamped to four digits"),
            month: 1,
            day: 1,
        };
        let mut date = start(estimate - 1);
        for later in [start(estimate), start(estimate + 1)] {
            if later.days_since_epoch() <= days {
                date = later;
            }
        }
        let mut left = days - date.days_since_epoch();
        while left >= i64::from(days_in_month(date.year, date.month)) {
            left -= i64::from(days_in_month(date.year, date.month));
            date.month += 1;
        }
        date.day += u8::try_from(left).expect("less than a month is left");
        date
    }

    /// `date`: `1-Feb-1994`, also in quotes.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let quoted = cursor.take(b'"');
        let day = digits(cursor, 1, 2)?;
        let date = Self::parse_after_day(cursor, day)?;
        if quoted {
            cursor.require(b'"', "A quoted date is not closed")?;
        }
        Ok(date)
    }

    fn parse_after_day(cursor: &mut Cursor<'_>, day: u16) -> Parsed<Self> {
        cursor.require(b'-', "A date is written 1-Feb-1994")?;
        let name = ascii(cursor.run(|octet| octet.is_ascii_alphabetic()));
        let month = MONTHS
            .iter()
            .position(|month| month.eq_ignore_ascii_case(name));
        let Some(month) = month.and_then(|month| u8::try_from(month + 1).ok()) else {
            return bad(
                "A month is written Jan, Feb, Mar, Apr, May, Jun, Jul, Aug, Sep, Oct, Nov or Dec",
            );
        };
        cursor.require(b'-', "A date is written 1-Feb-1994")?;
        let year = digits(cursor, 4, 4)?;
        let day = u8::try_from(day).unwrap_or(u8::MAX);
        Self::new(year, month, day).map_or_else(|| bad("There is no such day"), Ok)
    }
}

/// A point in time with the zone it was written in (`date-time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalDate {
    seconds: i64,
    zone_minutes: i16,
}

impl InternalDate {
    /// The time `seconds` after 1970-01-01T00:00:00Z, shown `zone_minutes` east of it;
    /// both are clamped to what can be written (four digits of a year, less than a day).
    #[must_use]
    pub fn new(seconds: i64, zone_minutes: i16) -> Self {
        Self {
            // Two days short of the first and last second, to have room for every zone.
            seconds: seconds.clamp(-62_167_000_000, 253_402_000_000),
            zone_minutes: zone_minutes.clamp(-1439, 1439),
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Minutes east of UTC.
    #[must_use]
    pub fn zone_minutes(self) -> i16 {
        self.zone_minutes
    }

    /// The day in its own zone: SEARCH disregards time and time zone (RFC 3501 §6.4.4).
    #[must_use]
    pub fn date(self) -> Date {
        Date::from_days_since_epoch(self.local_seconds().div_euclid(DAY_SECONDS))
    }

    /// Appends `"17-Jul-1996 02:44:25 -0700"` with its quotes.
    pub fn write(self, out: &mut Vec<u8>) {
        let date = self.date();
        let time = self.local_seconds().rem_euclid(DAY_SECONDS);
        let zone = self.zone_minutes.unsigned_abs();
        let text = format!(
            "\"{:2}-{}-{:04} {:02}:{:02}:{:02} {}{:02}{:02}\"",
            date.day,
            MONTHS[usize::from(date.month) - 1],
            date.year,
            time / 3600,
            time / 60 % 60,
            time % 60,
            if self.zone_minutes < 0 { '-' } else { '+' },
            zone / 60,
            zone % 60,
        );
        out.extend_from_slice(text.as_bytes());
    }

    /// `date-time`, with its quotes.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.require(b'"', "A date-time is quoted")?;
        // `date-day-fixed = (SP DIGIT) / 2DIGIT`
        let day = if cursor.take(b' ') {
            digits(cursor, 1, 1)?
        } else {
            digits(cursor, 2, 2)?
        };
        let date = Date::parse_after_day(cursor, day)?;
        cursor.require(
            b' ',
            "A date-time is written \"01-Feb-1994 21:52:25 -0800\"",
        )?;
        let hour = digits(cursor, 2, 2)?;
        cursor.require(b':', "A time is written 21:52:25")?;
        let minute = digits(cursor, 2, 2)?;
        cursor.require(b':', "A time is written 21:52:25")?;
        let second = digits(cursor, 2, 2)?;
        cursor.require(b' ', "A date-time ends with a zone like -0800")?;
        let zone_minutes = parse_zone(cursor)?;
        cursor.require(b'"', "A date-time is not closed")?;
        // 60 is a leap second; it is the next second of clocks that have none.
        if hour > 23 || minute > 59 || second > 60 {
            return bad("There is no such time");
        }
        let time = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let seconds = date.days_since_epoch() * DAY_SECONDS + time - i64::from(zone_minutes) * 60;
        Ok(Self::new(seconds, zone_minutes))
    }

    fn local_seconds(self) -> i64 {
        self.seconds + i64::from(self.zone_minutes) * 60
    }
}

/// What a mailbox keeps of it.
impl From<InternalDate> for crate::account::InternalDate {
    fn from(date: InternalDate) -> Self {
        Self {
            unix_s: date.seconds,
            zone_min: date.zone_minutes,
        }
    }
}

/// As it can be written.
impl From<crate::account::InternalDate> for InternalDate {
    fn from(date: crate::account::InternalDate) -> Self {
        Self::new(date.unix_s, date.zone_min)
    }
}

fn parse_zone(cursor: &mut Cursor<'_>) -> Parsed<i16> {
    let west = cursor.take(b'-');
    if !west && !cursor.take(b'+') {
        return bad("A zone is written +0100 or -0800");
    }
    let zone = digits(cursor, 4, 4)?;
    let (hours, minutes) = (zone / 100, zone % 100);
    if hours > 23 || minutes > 59 {
        return bad("There is no such zone");
    }
    let east = i16::try_from(hours * 60 + minutes).expect("less than a day of minutes");
    Ok(if west { -east } else { east })
}

/// `least` to `most` (4 at most) digits.
fn digits(cursor: &mut Cursor<'_>, least: usize, most: usize) -> Parsed<u16> {
    let digits = cursor.run(|octet| octet.is_ascii_digit());
    if digits.len() < least || digits.len() > most {
        return bad("A date or time has the wrong number of digits");
    }
    Ok(digits
        .iter()
        .fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
}

fn days_in_month(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::imap::grammar::MailboxEncoding;
    use proptest::prelude::*;

    fn with<T>(text: &str, parse: impl Fn(&mut Cursor<'_>) -> Parsed<T>) -> Option<T> {
        let limits = Config::default();
        let mut cursor = Cursor::new(text.as_bytes(), &limits, MailboxEncoding::default());
        let value = parse(&mut cursor).ok()?;
        cursor.rest().is_empty().then_some(value)
    }

    fn written(date: InternalDate) -> String {
        let mut out = Vec::new();
        date.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_as_clients_write_them() {
        let date = |text| with(text, Date::parse);
        assert_eq!(date("1-Feb-1994"), Date::new(1994, 2, 1));
        assert_eq!(date("\"01-fEB-1994\""), Date::new(1994, 2, 1));
        assert_eq!(date("29-Feb-2000"), Date::new(2000, 2, 29));
        for text in [
            "29-Feb-1900",
            "0-Jan-2000",
            "32-Jan-2000",
            "1-Feb-94",
            "1-2-1994",
            "001-Feb-1994",
            "1-Feb-19944",
            "\"1-Feb-1994",
            " 1-Feb-1994",
            "1 Feb 1994",
            "",
        ] {
            assert_eq!(date(text), None, "{text:?}");
        }
    }

    #[test]
    fn known_days() {
        let days = |y, m, d| Date::new(y, m, d).unwrap().days_since_epoch();
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(1969, 12, 31), -1);
        assert_eq!(days(0, 1, 1), -719_528);
        assert_eq!(days(9999, 12, 31), 2_932_896);
    }

    #[test]
    fn every_day_comes_back() {
        let mut before = None;
        for days in -719_528..=2_932_896 {
            let date = Date::from_days_since_epoch(days);
            assert_eq!(date.days_since_epoch(), days);
            assert_eq!(Date::new(date.year, date.month, date.day), Some(date));
            assert!(before < Some(date));
            before = Some(date);
        }
    }

    #[test]
    fn date_times_of_rfc_3501() {
        let parse = |text| with(text, InternalDate::parse);
        let date = parse("\"17-Jul-1996 02:44:25 -0700\"").unwrap();
        assert_eq!(date.seconds(), 837_596_665);
        assert_eq!(date.zone_minutes(), -420);
        assert_eq!(written(date), "\"17-Jul-1996 02:44:25 -0700\"");
        let date = parse("\" 7-Feb-1994 21:52:25 +0530\"").unwrap();
        assert_eq!(written(date), "\" 7-Feb-1994 21:52:25 +0530\"");
        assert_eq!(date.date(), Date::new(1994, 2, 7).unwrap());
        for text in [
            "\"7-Feb-1994 21:52:25 +0530\"",
            "17-Jul-1996 02:44:25 -0700",
            "\"17-Jul-1996 24:44:25 -0700\"",
            "\"17-Jul-1996 02:60:25 -0700\"",
            "\"17-Jul-1996 02:44:61 -0700\"",
            "\"17-Jul-1996 02:44:25 0700\"",
            "\"17-Jul-1996 02:44:25 -2400\"",
            "\"17-Jul-1996 02:44:25 -0060\"",
            "\"17-Jul-1996 02:44:25\"",
            "\"31-Jun-1996 02:44:25 -0700\"",
            "\"17-Jul-1996 02:44:25 -0700",
            "\"17-Jul-1996 2:44:25 -0700\"",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_parses(seconds in -63_000_000_000_i64..254_000_000_000, zone: i16) {
            let date = InternalDate::new(seconds, zone);
            prop_assert_eq!(with(&written(date), InternalDate::parse), Some(date));
        }
    }
}
