//! From text to a [`Config`], with every problem of the text and not only its first.

use std::path::PathBuf;

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;

/// Why there is no configuration. Shown to people as it is: one line per problem.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("not valid TOML: line {line}: {why}")]
    Syntax {
        /// Where, from 1.
        line: usize,
        /// Why.
        why: String,
    },
    /// What is wrong with the values, each led by its key.
    #[error("{}", .0.join("\n"))]
    Problems(Vec<String>),
}

/// Reads a configuration; the values are not checked yet.
///
/// # Errors
///
/// When it is no TOML, or when keys are unknown or of the wrong type: then all of them.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    let table: Table = text.parse().map_err(|error| syntax(text, &error))?;
    Config::deserialize(table.clone()).map_err(|error| {
        let mut problems = problems_by_key(&table);
        if problems.is_empty() {
            problems.push(one_line(&error));
        }
        ConfigError::Problems(problems)
    })
}

fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.bytes().take(at);
    ConfigError::Syntax {
        line: 1 + before.filter(|byte| *byte == b'\n').count(),
        why: one_line(error),
    }
}

/// Tries every key alone. All fields have defaults, so whatever fails then is that key's fault.
fn problems_by_key(table: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    for (section, value) in table {
        let Value::Table(keys) = value else {
            try_alone(section, section, value, &mut problems);
            continue;
        };
        if keys.is_empty() {
            try_alone(section, section, value, &mut problems);
        }
        for (key, value) in keys {
            let alone = Value::Table(Table::from_iter([(key.clone(), value.clone())]));
            let before = problems.len();
            try_alone(section, &format!("{section}.{key}"), &alone, &mut problems);
            let unknown_section = format!("{section}.{key}: unknown field `{section}`");
            if problems
                .get(before)
                .is_some_and(|found| found.starts_with(&unknown_section))
            {
                problems.truncate(before);
                problems.push(format!("{section}: there is no such section"));
                break;
            }
        }
    }
    problems
}

fn try_alone(section: &str, name: &str, value: &Value, problems: &mut Vec<String>) {
    let alone = Table::from_iter([(section.to_owned(), value.clone())]);
    if let Err(error) = Config::deserialize(alone) {
        problems.push(format!("{name}: {}", one_line(&error)));
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error
        .message()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// A door that can be switched off: an address, or `"off"`.
pub mod door {
    use std::net::SocketAddr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the address or `"off"`.
    ///
    /// # Errors
    ///
    /// Only the serializer's own.
    pub fn serialize<S: Serializer>(
        door: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match door {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str("off"),
        }
    }

    /// Reads an address or `"off"`.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "off" {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_| D::Error::custom(format!("`{text}` is neither address:port nor \"off\"")))
    }
}
