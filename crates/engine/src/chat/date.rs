//! The date that a template writes: one that the caller gives, never the machine's.

/// A moment, in whatever time zone the caller means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// The year, such as 2026.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

fn padded(text: &mut String, number: impl Into<u16>, width: usize) {
    let digits = number.into().to_string();
    text.extend(std::iter::repeat_n('0', width.saturating_sub(digits.len())));
    text.push_str(&digits);
}

impl Date {
    /// The date as Python's `strftime` writes it in the C locale; a directive that is not known stays as it is.
    pub fn format(self, format: &str) -> String {
        let month = MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("");
        let weekday = DAYS.get(self.weekday()).copied().unwrap_or("");
        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match chars.next() {
                Some('Y') => padded(&mut text, self.year, 4),
                Some('y') => padded(&mut text, self.year % 100, 2),
                Some('m') => padded(&mut text, self.month, 2),
                Some('d') => padded(&mut text, self.day, 2),
                Some('H') => padded(&mut text, self.hour, 2),
                Some('I') => padded(&mut text, (self.hour % 12 + 11) % 12 + 1, 2),
                Some('p') => text.push_str(if self.hour < 12 { "AM" } else { "PM" }),
                Some('M') => padded(&mut text, self.minute, 2),
                Some('S') => padded(&mut text, self.second, 2),
                Some('B') => text.push_str(month),
                Some('b' | 'h') => text.push_str(short(month)),
                Some('A') => text.push_str(weekday),
                Some('a') => text.push_str(short(weekday)),
                Some('F') => text.push_str(&self.format("%Y-%m-%d")),
                Some('T') => text.push_str(&self.format("%H:%M:%S")),
                Some('%') | None => text.push('%'),
                Some(other) => text.extend(['%', other]),
            }
        }
        text
    }

    /// 0 for Sunday, by Sakamoto's method.
    fn weekday(self) -> usize {
        const SHIFTS: [usize; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let shift = SHIFTS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or(0);
        let year = usize::from(self.year) - usize::from(self.month < 3 && self.year > 0);
        (year + year / 4 - year / 100 + year / 400 + shift + usize::from(self.day)) % 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_python_writes_them() {
        // Python: datetime(2024, 7, 26, 15, 4, 9).strftime(...), datetime(2000, 2, 29, 0, 0, 0).strftime(...)
        let date = Date { year: 2024, month: 7, day: 26, hour: 15, minute: 4, second: 9 };
        assert_eq!(date.format("%d %b %Y"), "26 Jul 2024");
        assert_eq!(
            date.format("%A, %B %d, %y %I:%M:%S %p %% %F %T %a"),
            "Friday, July 26, 24 03:04:09 PM % 2024-07-26 15:04:09 Fri"
        );
        let leap = Date { year: 2000, month: 2, day: 29, hour: 0, minute: 0, second: 0 };
        assert_eq!(leap.format("%a %I %m"), "Tue 12 02");
        assert_eq!(leap.format("%Q %"), "%Q %");
    }
}
