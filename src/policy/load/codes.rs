//! Reads `[[denial.code]]`: codes that the application adds to the catalogue.

use serde_json::Value;
use toml::de::DeValue;

use super::checks::{check_sentence, check_word};
use crate::policy::CodeEntry;
use crate::policy::section::{At, Section};

/// Reads one code as it is written; `denial/` checks its words.
pub(super) fn load_code(section: Section<'_>) -> Option<CodeEntry> {
    let owned = |at: At<&str>| At { value: at.value.to_owned(), place: at.place };
    let code = section.required_text("code", "name it: `code = \"order_locked\"`").map(owned);
    let title = section
        .required_text("title", "say it in a few words: `title = \"Order locked\"`")
        .and_then(|_| section.parse("title", "title", check_word));
    let category =
        section.required_text("category", "for example `category = \"authorization\"`").map(owned);
    let remedy = section
        .required_text("remedy", "say what the client developer should do next")
        .and_then(|_| section.parse("remedy", "remedy", check_sentence));
    let status = section.number("status", 400..600);
    let detail = section.text("detail").map(|text| text.value.to_owned());
    let retryable = section.flag("retryable").unwrap_or(false);
    let (action, actor) = (section.text("action").map(owned), section.text("actor").map(owned));
    let example = section.section("example", "`example`").map(load_example).unwrap_or_default();
    section.finish();
    Some(CodeEntry {
        code: code?,
        title: title?.value,
        category: category?,
        status,
        remedy: remedy?.value,
        detail,
        retryable,
        action,
        actor,
        example,
    })
}

/// The members of an example, in their order.
fn load_example(section: Section<'_>) -> Vec<(At<String>, Value)> {
    let member = |(name, value): (At<&str>, &toml::Spanned<DeValue<'_>>)| {
        (At { value: name.value.to_owned(), place: name.place }, json(value.get_ref()))
    };
    section.entries().into_iter().map(member).collect()
}

/// A value as JSON; `null` where JSON has no such number. Dates are text.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(&**text),
        DeValue::Integer(number) => {
            let digits: String =
                number.as_str().chars().filter(|c| !matches!(c, '_' | '+')).collect();
            i64::from_str_radix(&digits, number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => {
            let digits: String = number.as_str().chars().filter(|c| *c != '_').collect();
            digits.parse::<f64>().map_or(Value::Null, Value::from)
        }
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Datetime(moment) => Value::from(moment.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let member = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                (name.clone().into_owned(), json(value.get_ref()))
            };
            Value::Object(table.iter().map(member).collect())
        }
    }
}
