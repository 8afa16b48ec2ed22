//! The values of a table: texts, numbers, moments, durations and lists of them.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{At, Section};
use crate::limit::parse_duration;
use crate::policy::fault::Fault;
use crate::policy::value_fault::ValueFault;
use crate::time::{unix_seconds, unix_seconds_up};

impl<'a> Section<'a> {
    pub(crate) fn text(&self, name: &'static str) -> Option<At<&'a str>> {
        let value = self.value(name)?;
        let text = value.get_ref().as_str();
        self.typed(name, value, text, "a string", &format!("write `{name} = \"...\"`"))
    }

    /// Reports the key as missing where it is.
    pub(crate) fn required_text(&self, name: &'static str, help: &str) -> Option<At<&'a str>> {
        self.require(name, help);
        self.text(name)
    }

    /// Reads a text by `parse`, which says what to write instead.
    pub(crate) fn parse<T>(
        &self,
        name: &'static str,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let text = self.text(name)?;
        self.parsed(&text, what, parse)
    }

    /// Reads a text that was found by `parse`, which says what to write instead.
    pub(crate) fn parsed<T>(
        &self,
        text: &At<&str>,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        match parse(text.value) {
            Ok(value) => Some(At { value, place: text.place.clone() }),
            Err(help) => {
                let shown = text.value.escape_debug();
                let (shown, what) = (shown.to_string(), what.to_owned());
                let fault = match text.value {
                    "" => ValueFault::Empty { what, help },
                    _ => ValueFault::Invalid { shown, what, help },
                };
                self.push(Fault::of(&text.place, &fault));
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let words = words.iter().map(|(word, _)| (*word).to_owned()).collect();
        self.push(Fault::of(
            &text.place,
            &ValueFault::NotOneOf { key: name, found: text.value.to_owned(), words },
        ));
        None
    }

    pub(crate) fn flag(&self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?;
        let flag = value.get_ref().as_bool();
        let help = "write `true` or `false`, without quotes";
        self.typed(name, value, flag, "true or false", help).map(|at| at.value)
    }

    /// A whole number within `range`.
    pub(crate) fn number(&self, name: &'static str, range: Range<u64>) -> Option<At<u64>> {
        let value = self.value(name)?;
        let number = value.get_ref().as_integer().map(|number| {
            let digits: String =
                number.as_str().chars().filter(|c| !matches!(c, '_' | '+')).collect();
            i128::from_str_radix(&digits, number.radix()).unwrap_or(i128::MAX)
        });
        let (least, most) = (range.start, range.end - 1);
        let help = format!("write a whole number from {least} to {most}, without quotes");
        let number = self.typed(name, value, number, "a whole number", &help)?;
        match u64::try_from(number.value) {
            Ok(value) if range.contains(&value) => Some(At { value, place: number.place }),
            _ => {
                self.push(Fault::of(
                    &number.place,
                    &ValueFault::OutOfRange { key: name, least, most },
                ));
                None
            }
        }
    }

    /// A moment, in Unix seconds.
    pub(crate) fn moment(&self, name: &'static str) -> Option<At<u64>> {
        self.moment_by(name, unix_seconds)
    }

    /// A moment, in Unix seconds that are rounded up.
    pub(crate) fn moment_rounded_up(&self, name: &'static str) -> Option<At<u64>> {
        self.moment_by(name, unix_seconds_up)
    }

    fn moment_by(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<i64>,
    ) -> Option<At<u64>> {
        let value = self.value(name)?;
        let help = format!("{name} = 2027-01-01T00:00:00Z");
        let date = value.get_ref().as_datetime();
        let date = self.typed(name, value, date, "a moment", &format!("write `{help}`"))?;
        let seconds = read(&date.value.to_string());
        match seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(value) => Some(At { value, place: date.place }),
            None => {
                self.push(Fault::of(&date.place, &ValueFault::NotAMoment { key: name }));
                None
            }
        }
    }

    /// A time with its unit, such as `"30s"`.
    pub(crate) fn duration(&self, name: &'static str) -> Option<At<Duration>> {
        let value = self.value(name)?;
        if let Some(number) = value.get_ref().as_integer() {
            let number = number.as_str().to_owned();
            let place = self.at_span(value.span());
            self.push(Fault::of(&place, &ValueFault::DurationWithoutUnit { key: name, number }));
            return None;
        }
        self.parse(name, "duration", |text| {
            parse_duration(text).ok_or_else(|| {
                "a duration is a whole number and a unit: `500ms`, `30s`, `5m`, `1h`, `7d`".into()
            })
        })
    }

    pub(crate) fn texts(&self, name: &'static str) -> Option<Vec<At<&'a str>>> {
        let value = self.value(name)?;
        let help = format!("write `{name} = [\"...\"]`");
        let array = value.get_ref().as_array();
        let array = self.typed(name, value, array, "an array of strings", &help)?;
        let item = |item: &'a Spanned<DeValue<'a>>| {
            self.typed(name, item, item.get_ref().as_str(), "made of strings", &help)
        };
        Some(array.value.iter().filter_map(item).collect())
    }

    /// The items of an array, of any types. `None` where the key is absent.
    pub(crate) fn items(
        &self,
        name: &'static str,
        expected: &str,
        help: &str,
    ) -> Option<&'a [Spanned<DeValue<'a>>]> {
        let value = self.value(name)?;
        let array = value.get_ref().as_array();
        self.typed(name, value, array, expected, help).map(|array| &**array.value)
    }

    /// Reads each text of an array by `parse`. `None` where the key is absent.
    pub(crate) fn list<T>(
        &self,
        name: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<At<T>>> {
        let texts = self.texts(name)?;
        Some(texts.iter().filter_map(|text| self.parsed(text, what, &parse)).collect())
    }

    /// One text, or each text of an array, read by `parse`. `None` where the key is absent.
    pub(crate) fn one_or_more<T>(
        &self,
        name: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<At<T>>> {
        match self.value(name)?.get_ref() {
            DeValue::Array(_) => self.list(name, what, parse),
            _ => self.parse(name, what, parse).map(|one| vec![one]),
        }
    }
}
