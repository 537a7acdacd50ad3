//! What a node tells about itself: log lines and metrics.
//!
//! ```text
//!   tracing events --filter--> one line --control characters escaped--> standard error
//!   metrics        ----------> PrometheusHandle <---- endpoint: GET /metrics
//! ```
//!
//! What holds:
//!
//! - One event is one line: whatever a client put into a name, no line break and no terminal
//!   sequence gets through.
//! - A panic is logged with its place. Its message is withheld if it was formatted, since it may
//!   quote what was at hand: mail, or a password.
//!
//! What this does not do: no files, no rotation; the service manager keeps the lines.
//!
//! Read on: [`escape`] for the lines, [`endpoint`] for the metrics.

use std::any::Any;
use std::panic;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

pub mod endpoint;
pub mod escape;

#[cfg(test)]
mod tests;

pub use endpoint::serve;

/// Upper bounds of the buckets of durations, seconds: from an fsync of a fast disk to a client
/// that gave up.
const SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

/// Upper bounds of the buckets of sizes, bytes.
const BYTES: [f64; 10] = [
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the log is none.
    #[error("log level: {0}")]
    Level(#[from] ParseError),
    /// It was set up before.
    #[error("telemetry is set up already: {0}")]
    Twice(String),
}

/// Logs to standard error from now on, at `level` or what RUST_LOG says.
///
/// # Errors
///
/// When the level is none, or the process logs already.
pub fn log_to_stderr(level: &str) -> Result<(), TelemetryError> {
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        Err(_) => filter(level)?,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| escape::Lines::new(std::io::stderr()))
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.to_string()))?;
    panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        let message = literal(panic.payload());
        tracing::error!(%place, %thread, message, "panic");
        metrics::counter!("rookery_panics_total").increment(1);
    }));
    Ok(())
}

/// The filter for a configured level. openraft reports every heartbeat that a dead node misses, in
/// every group, which is told better by metrics; so it is heard only if it is named.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("openraft=error,{level}"))
}

/// The message of a panic if it stands so in the source.
fn literal(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(withheld)")
}

/// Keeps metrics from now on. Names that end in `_seconds` and `_bytes` and are histograms get
/// fixed buckets.
///
/// # Errors
///
/// When the process keeps metrics already.
pub fn keep_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let recorder = builder().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|error| TelemetryError::Twice(error.to_string()))?;
    metrics::gauge!("rookery_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn builder() -> PrometheusBuilder {
    let ending = |text: &str| Matcher::Suffix(text.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(ending("_seconds"), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(ending("_bytes"), &BYTES))
        .expect("the lists of buckets are not empty")
}
