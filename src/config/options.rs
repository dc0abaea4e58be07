//! A job's options: TOML becomes JSON, a `config` that names a file is read and put in its place, the endpoint
//! checks the whole. Which options there are is left to the endpoint.

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{CheckOptions, Code, OptionProblem, Problem};
use super::file;
use super::reader::Reader;
use crate::task::Endpoint;

/// The options of a job, checked. `None`: something is wrong, and it has been noted.
pub(super) fn read(
    reader: &mut Reader<'_>,
    base: &Path,
    endpoint: Option<Endpoint>,
    job: (&str, Range<usize>),
    options: Option<&Spanned<DeValue<'_>>>,
    check: CheckOptions,
) -> Option<Value> {
    let (job, header) = job;
    let empty = DeTable::new();
    let (table, span) = match options {
        None => (&empty, header),
        Some(value) => match value.get_ref() {
            DeValue::Table(table) => (table, value.span()),
            other => {
                let what = format!("the options of {job} must be a table, not {}", other.type_str());
                let problem = Problem::new(Code::Type, what);
                reader.tell(value.span(), problem.hint("write { speaker_diarization = true }".to_owned()));
                return None;
            }
        },
    };
    let mut json = match table_to_json(table) {
        Ok(json) => json,
        Err((span, why)) => {
            reader.tell(span, Problem::new(Code::Option, format!("an option of {job} {why}")));
            return None;
        }
    };
    if let Some(inlined) = json.get("config").and_then(Value::as_str).filter(|text| text.ends_with(".json")) {
        match read_json(&base.join(inlined)) {
            Ok(config) => json.insert("config".to_owned(), config),
            Err(mut problem) => {
                problem.code = Code::Option;
                let at = table.get("config").map_or(span, Spanned::span);
                reader.tell(at, problem.mend("mend the file, or write the table here: config = { … }"));
                return None;
            }
        };
    }
    let json = Value::Object(json);
    let OptionProblem { key, problem, suggestion } = match endpoint.map(|endpoint| check(endpoint, &json)) {
        Some(Ok(())) => return Some(json),
        Some(Err(problem)) => problem,
        None => return None,
    };
    let hint = suggestion.map(|near| format!("did you mean `{near}`?"));
    let at = locate(table, &key).unwrap_or(span);
    reader.tell(at, Problem::new(Code::Option, format!("option `{key}` of {job} {problem}")).hint(hint));
    None
}

fn read_json(path: &Path) -> Result<Value, Problem> {
    let text = file::read(path)?;
    let name = path.display();
    match serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        Ok(_) => Err(Problem::new(Code::Option, format!("{name} holds no JSON object"))),
        Err(error) => Err(Problem::new(Code::Option, format!("{name} is not JSON: {error}"))),
    }
}

/// The place of a dotted option, as deep as the file goes: what lies in a file of its own is at the file's name.
fn locate(options: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    // `behaviors[0]` and `behaviors.0` mean the same.
    let dotted = key.replace('[', ".").replace(']', "");
    let mut parts = dotted.split('.').peekable();
    let (name, mut value) = options.get_key_value(parts.next()?)?;
    let mut span = if parts.peek().is_none() { name.span() } else { value.span() };
    while let Some(part) = parts.next() {
        match value.get_ref() {
            DeValue::Table(table) => {
                let Some((name, inner)) = table.get_key_value(part) else { break };
                value = inner;
                span = if parts.peek().is_none() { name.span() } else { value.span() };
            }
            DeValue::Array(list) => {
                let Some(inner) = part.parse().ok().and_then(|n: usize| list.get(n)) else { break };
                value = inner;
                span = value.span();
            }
            _ => break,
        }
    }
    Some(span)
}

type NoJson = (Range<usize>, &'static str);

fn table_to_json(table: &DeTable<'_>) -> Result<Map<String, Value>, NoJson> {
    table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), to_json(value)?))).collect()
}

fn to_json(value: &Spanned<DeValue<'_>>) -> Result<Value, NoJson> {
    let no = |why| (value.span(), why);
    Ok(match value.get_ref() {
        DeValue::String(text) => json!(text),
        DeValue::Boolean(on) => json!(on),
        DeValue::Integer(n) => {
            json!(i64::from_str_radix(n.as_str(), n.radix()).map_err(|_| no("is a number beyond 64 bits"))?)
        }
        DeValue::Float(n) => {
            let number = n.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            Value::Number(number.ok_or_else(|| no("is no number that JSON knows"))?)
        }
        DeValue::Datetime(_) => return Err(no("is a date, which JSON does not know; write it in quotes")),
        DeValue::Array(list) => Value::Array(list.iter().map(to_json).collect::<Result<_, _>>()?),
        DeValue::Table(table) => Value::Object(table_to_json(table)?),
    })
}
