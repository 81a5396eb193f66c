//! Environment and flags → one validated value. The only reader of the environment.
//!
//! Every setting has a variable and a flag; the flag wins. A blank value is none. A bad value stops the program at its
//! start, with a message that names the variable, the value and what is allowed.
//!
//! ```
//! use clap::Parser;
//! use weir::settings::Arguments;
//!
//! #[derive(Parser)]
//! struct Program {
//!     #[command(flatten)]
//!     arguments: Arguments,
//! }
//! let program = Program::parse_from(["weir", "--snapshot-windows", "hourly, monthly"]);
//! assert_eq!(program.arguments.validate().unwrap().logic.windows.len(), 2);
//!
//! let program = Program::parse_from(["weir", "--snapshot-windows", "weekly"]);
//! assert_eq!(
//!     program.arguments.validate().unwrap_err().to_string(),
//!     "SNAPSHOT_WINDOWS (--snapshot-windows) is `weekly`; allowed: a list of hourly, daily, monthly"
//! );
//! ```

use crate::{
    contract,
    limiter::policy::Policy,
    telemetry::{ApplicationLevel, Format},
};
use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// The settings as they are written: by flag, by variable, or not at all.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Arguments {
    /// The limiter's table [default: rate-limits]
    #[arg(long, env = "TABLE_NAME", value_name = "NAME", help_heading = SETTINGS)]
    table_name: Option<String>,
    /// Windows to sum usage over, separated by commas [default: hourly,daily]
    #[arg(long, env = "SNAPSHOT_WINDOWS", value_name = "LIST", help_heading = SETTINGS)]
    snapshot_windows: Option<String>,
    /// Days that a usage snapshot is kept [default: 90]
    #[arg(long, env = "SNAPSHOT_TTL_DAYS", value_name = "DAYS", help_heading = SETTINGS)]
    snapshot_ttl_days: Option<String>,
    /// Whether expired audit events go to the archive bucket: true or false [default: false]
    #[arg(long, env = "ENABLE_ARCHIVAL", value_name = "BOOL", help_heading = SETTINGS)]
    enable_archival: Option<String>,
    /// The bucket for archived audit events and for quarantined records [default: none]
    #[arg(long, env = "ARCHIVE_BUCKET_NAME", value_name = "NAME", help_heading = SETTINGS)]
    archive_bucket_name: Option<String>,
    /// Corrected rules in force: all, none, or a list of names (see the README) [default: all]
    #[arg(long, env = "CORRECTIONS", value_name = "LIST", help_heading = SETTINGS)]
    corrections: Option<String>,
    /// Whether namespaced buckets that carry a burst are refilled up to it: true or false [default: false]
    #[arg(long, env = "BURST_CEILING", value_name = "BOOL", help_heading = SETTINGS)]
    burst_ceiling: Option<String>,
    /// The most shards that a bucket is split into [default: 32]
    #[arg(long, env = "MAX_SHARD_COUNT", value_name = "COUNT", help_heading = SETTINGS)]
    max_shard_count: Option<String>,
    /// What plans are held against beside their purposes: static (the batch's size) or batch (what its records say) [default: batch]
    #[arg(long, env = "POLICY", value_name = "HOW", help_heading = SETTINGS)]
    policy: Option<String>,
    /// Writes under way at once [default: 32]
    #[arg(long, env = "WRITE_CONCURRENCY", value_name = "COUNT", help_heading = SETTINGS)]
    write_concurrency: Option<String>,
    /// Lowest level of log lines: debug, info, warning or error [default: info]
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", help_heading = SETTINGS)]
    log_level: Option<String>,
    /// Metrics among the log lines: emf (CloudWatch's embedded metric format) or off [default: emf in Lambda, else off]
    #[arg(long, env = "METRICS", value_name = "FORMAT", help_heading = SETTINGS)]
    metrics: Option<String>,
    /// The component that decides: a file, or s3://bucket/key [default: weir_logic.wasm beside the program]
    #[arg(long = "component", env = "LOGIC_COMPONENT", value_name = "PLACE", help_heading = SETTINGS)]
    logic_component: Option<String>,
    /// SHA-256 that the component must have, in hex [default: any]
    #[arg(long, env = "LOGIC_SHA256", value_name = "HEX", help_heading = SETTINGS)]
    logic_sha256: Option<String>,
    /// Seconds between looks for a new version of the component, and of the shadow [default: never]
    #[arg(long, env = "LOGIC_REFRESH_SECONDS", value_name = "SECONDS", help_heading = SETTINGS)]
    logic_refresh_seconds: Option<String>,
    /// A second component that plans the same batches, for comparison: a file, or s3://bucket/key [default: none]
    #[arg(long, env = "LOGIC_SHADOW", value_name = "PLACE", help_heading = SETTINGS)]
    logic_shadow: Option<String>,
    /// Longest time that one plan may take, in milliseconds [default: 5000]
    #[arg(long, env = "LOGIC_TIMEOUT_MS", value_name = "MS", help_heading = SETTINGS)]
    logic_timeout_ms: Option<String>,
    /// Most memory that the component may use, in MiB [default: 256]
    #[arg(long, env = "LOGIC_MEMORY_MIB", value_name = "MIB", help_heading = SETTINGS)]
    logic_memory_mib: Option<String>,
    /// Where to keep a sample of batches, for `weir replay` and `weir diff`: a folder, or s3://bucket/prefix [default: nowhere]
    #[arg(long, env = "CAPTURE_TO", value_name = "PLACE", help_heading = SETTINGS)]
    capture_to: Option<String>,
    /// Keep the first of so many batches [default: 100]
    #[arg(long, env = "CAPTURE_EVERY", value_name = "COUNT", help_heading = SETTINGS)]
    capture_every: Option<String>,
    /// Names in kept batches (entities, resources, limits, namespaces, principals): plain or hashed [default: hashed]
    #[arg(long, env = "CAPTURE_NAMES", value_name = "HOW", help_heading = SETTINGS)]
    capture_names: Option<String>,
    /// Lambda's log format, set by Lambda: Text or JSON
    #[arg(
        long,
        env = "AWS_LAMBDA_LOG_FORMAT",
        value_name = "FORMAT",
        hide = true
    )]
    aws_lambda_log_format: Option<String>,
    /// Lambda's application log level, set by Lambda: TRACE, DEBUG, INFO, WARN, ERROR or FATAL
    #[arg(long, env = "AWS_LAMBDA_LOG_LEVEL", value_name = "LEVEL", hide = true)]
    aws_lambda_log_level: Option<String>,
}

const SETTINGS: &str = "Settings (each also by the variable named behind it)";

/// Whether AWS Lambda started the program.
pub fn is_lambda() -> bool {
    variable("AWS_LAMBDA_RUNTIME_API").is_some()
}

/// What a variable says; a blank one says nothing.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Takes the blank ones of those variables out of the environment that libraries read: the SDK's, and those that name
/// proxies. To the SDK an empty region is a region, and an empty profile a profile.
///
/// # Safety
/// No other thread may run yet.
pub unsafe fn forget_blank_variables() {
    for (name, value) in std::env::vars_os() {
        let is_read = name.to_str().is_some_and(|name| {
            name.starts_with("AWS_") || PROXIES.contains(&name) || NO_PROXY.contains(&name)
        });
        if is_read && value.to_str().is_some_and(|value| value.trim().is_empty()) {
            // SAFETY: the caller sees to it that nobody reads the environment meanwhile.
            unsafe { std::env::remove_var(name) };
        }
    }
}

/// The variables that name proxies.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The variables that name hosts to be reached without one.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The way to AWS, as far as the SDK does not read it from the environment by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Proxies, each with the variable that names it.
    pub proxies: Vec<(&'static str, String)>,
    /// The file with the only certificates to be trusted, where it is not the system that says which those are.
    pub trusted: Option<PathBuf>,
}

/// Reads which way leads to AWS: `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`, in capitals or not, and `AWS_CA_BUNDLE`.
pub fn connection() -> Connection {
    let named = PROXIES.map(|name| Some((name, variable(name)?)));
    Connection {
        proxies: named.into_iter().flatten().collect(),
        trusted: variable(CA_BUNDLE).map(PathBuf::from),
    }
}

/// The variable that names the file of certificates.
pub const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Where the component is that comes with the program: beside it in a package, in a folder beside it after a build.
fn own_component() -> PathBuf {
    let folder = std::env::current_exe()
        .ok()
        .and_then(|program| program.parent().map(PathBuf::from))
        .unwrap_or_default();
    let (beside, built) = (
        folder.join("weir_logic.wasm"),
        folder.join("../component/weir_logic.wasm"),
    );
    if !beside.exists() && built.exists() {
        built
    } else {
        beside
    }
}

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The limiter's table.
    pub table: String,
    /// The bucket for archive and quarantine, if there is one.
    pub bucket: Option<String>,
    /// What the component is told.
    pub logic: contract::Settings,
    /// What plans are held against.
    pub policy: Policy,
    /// Writes under way at once, at least 1.
    pub write_concurrency: usize,
    /// Lowest level of log lines.
    pub log_level: contract::Level,
    /// The form of log lines.
    pub log_format: Format,
    /// Where metrics go, if the operator says.
    pub metrics: Option<Metrics>,
    /// Where the component is and what it may use.
    pub component: Component,
    /// Which batches are kept, if any are.
    pub capture: Option<Capture>,
}

/// A place that the operator names: `s3://bucket/key`, or else a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file or a folder.
    File(PathBuf),
    /// An object, or the beginning of objects' keys.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// A sample of the batches that come, kept to be planned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The folder, or the bucket and what its keys begin with.
    pub to: Origin,
    /// The first of so many batches is kept, at least 1.
    pub every: u32,
    /// What becomes of names.
    pub names: Names,
}

/// What becomes of the names in a kept batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// They are kept.
    Plain,
    /// Equal names become equal codes, in a way that only this process knows.
    Hashed,
}

/// Where metrics go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Among the log lines, in CloudWatch's embedded metric format.
    Emf,
    /// Nowhere.
    Off,
}

/// Where the component is and what it may use.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its file or object.
    pub origin: Origin,
    /// The file that comes with the program.
    pub packaged: PathBuf,
    /// Its SHA-256, if it is pinned.
    pub sha256: Option<[u8; 32]>,
    /// The longest that one plan may take.
    pub timeout: Duration,
    /// The most memory that one instance may use, in bytes.
    pub memory: usize,
    /// How often to look for a new version; none means never.
    pub refresh: Option<Duration>,
    /// A component to compare with, if there is one.
    pub shadow: Option<Origin>,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// The value is none of those that are allowed.
    #[error("{variable} ({flag}) is `{value}`; allowed: {allowed}")]
    NotAllowed {
        /// The variable that may have named it.
        variable: &'static str,
        /// The flag that may have named it.
        flag: String,
        /// What it is, as far as it can be shown.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// There is an archive and no place for it.
    #[error(
        "ENABLE_ARCHIVAL (--enable-archival) is true, and there is no bucket to archive to; name one with ARCHIVE_BUCKET_NAME (--archive-bucket-name), or set ENABLE_ARCHIVAL to false"
    )]
    NoBucket,
    /// A variable that has no flag says what cannot be done.
    #[error("{variable} is `{value}`: {reason}")]
    Unusable {
        /// The variable.
        variable: &'static str,
        /// What it is, as far as it can be shown.
        value: String,
        /// Why that cannot be used, and what can.
        reason: String,
    },
}

impl Arguments {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`BadSetting`], for the first one that cannot be used.
    pub fn validate(&self) -> Result<Settings, BadSetting> {
        let table = read(
            &self.table_name,
            "TABLE_NAME",
            "a table's name or ARN, of 1 to 1024 characters",
            |text| (text.len() <= 1024).then(|| text.to_owned()),
        )?;
        let bucket = read(
            &self.archive_bucket_name,
            "ARCHIVE_BUCKET_NAME",
            "a bucket's name or the ARN of an access point, without s3:// and without a path",
            bucket,
        )?;
        let log_level = self.log_level()?;
        let logic = self.logic(log_level)?;
        if logic.archive && bucket.is_none() {
            return Err(BadSetting::NoBucket);
        }
        let concurrency = read(
            &self.write_concurrency,
            "WRITE_CONCURRENCY",
            "a whole number from 1 to 1000",
            within(1, 1000),
        )?;
        let metrics = read(&self.metrics, "METRICS", "emf, off", |text| match text {
            "emf" => Some(Metrics::Emf),
            "off" => Some(Metrics::Off),
            _ => None,
        })?;
        let policy = read(&self.policy, "POLICY", "static, batch", |text| match text {
            "static" => Some(Policy::Static),
            "batch" => Some(Policy::Batch),
            _ => None,
        })?;
        Ok(Settings {
            table: table.unwrap_or_else(|| "rate-limits".into()),
            bucket,
            logic,
            policy: policy.unwrap_or_default(),
            write_concurrency: concurrency.unwrap_or(32) as usize,
            log_level,
            log_format: self.log_format(),
            metrics,
            component: self.component()?,
            capture: self.capture()?,
        })
    }

    /// The form of log lines, which is known also where a setting is bad. What Lambda may set beside the formats of
    /// today is no reason not to work.
    pub fn log_format(&self) -> Format {
        let is_json = given(&self.aws_lambda_log_format)
            .is_some_and(|format| format.eq_ignore_ascii_case("json"));
        if is_json {
            Format::Json(self.application_level().unwrap_or(ApplicationLevel::Info))
        } else {
            Format::Text
        }
    }

    fn application_level(&self) -> Option<ApplicationLevel> {
        given(&self.aws_lambda_log_level).and_then(application_level)
    }

    /// The stricter one of the operator's level and Lambda's: what Lambda drops need not be written.
    fn log_level(&self) -> Result<contract::Level, BadSetting> {
        let own = read(
            &self.log_level,
            "LOG_LEVEL",
            "debug, info, warning, error",
            level,
        )?;
        let lambda = self.application_level().map(contract::Level::from);
        Ok(match (own, lambda) {
            (Some(own), Some(lambda)) => stricter(own, lambda),
            (Some(level), None) | (None, Some(level)) => level,
            (None, None) => contract::Level::Info,
        })
    }

    /// What the component is told.
    fn logic(&self, level: contract::Level) -> Result<contract::Settings, BadSetting> {
        let windows = read(
            &self.snapshot_windows,
            "SNAPSHOT_WINDOWS",
            "a list of hourly, daily, monthly",
            windows,
        )?;
        let ttl = read(
            &self.snapshot_ttl_days,
            "SNAPSHOT_TTL_DAYS",
            "a whole number from 1 to 36500",
            within(1, 36_500),
        )?;
        let is_archived = read(
            &self.enable_archival,
            "ENABLE_ARCHIVAL",
            "true, false",
            boolean,
        )?;
        let corrections = read(
            &self.corrections,
            "CORRECTIONS",
            "all, none, or a list of window-suffix, event-time, first-consumption, full-refill, idle-batches, shard-pressure, daily-archive",
            corrections,
        )?;
        let is_burst = read(&self.burst_ceiling, "BURST_CEILING", "true, false", boolean)?;
        let max_shard_count = read(
            &self.max_shard_count,
            "MAX_SHARD_COUNT",
            "a whole number from 1 to 1024",
            within(1, 1024),
        )?;
        let usual_windows = || vec![contract::Window::Hourly, contract::Window::Daily];
        Ok(contract::Settings {
            windows: windows.unwrap_or_else(usual_windows),
            snapshot_ttl_days: ttl.unwrap_or(90),
            archive: is_archived.unwrap_or(false),
            corrections: corrections.unwrap_or(contract::Corrections::all()),
            ceiling: if is_burst.unwrap_or(false) {
                contract::Ceiling::Burst
            } else {
                contract::Ceiling::Capacity
            },
            max_shard_count: max_shard_count.unwrap_or(32),
            level,
        })
    }

    /// Where the component is and what it may use.
    fn component(&self) -> Result<Component, BadSetting> {
        let origin = read(&self.logic_component, "LOGIC_COMPONENT", PLACES, origin)?;
        let sha256 = read(
            &self.logic_sha256,
            "LOGIC_SHA256",
            "64 hexadecimal digits",
            digest,
        )?;
        let refresh = read(
            &self.logic_refresh_seconds,
            "LOGIC_REFRESH_SECONDS",
            "a whole number from 1 to 86400",
            within(1, 86_400),
        )?;
        let shadow = read(&self.logic_shadow, "LOGIC_SHADOW", PLACES, self::origin)?;
        let timeout = read(
            &self.logic_timeout_ms,
            "LOGIC_TIMEOUT_MS",
            "a whole number from 10 to 900000",
            within(10, 900_000),
        )?;
        let memory = read(
            &self.logic_memory_mib,
            "LOGIC_MEMORY_MIB",
            "a whole number from 1 to 4095",
            within(1, 4095),
        )?;
        Ok(Component {
            origin: origin.unwrap_or_else(|| Origin::File(own_component())),
            packaged: own_component(),
            sha256,
            timeout: Duration::from_millis(timeout.unwrap_or(5000).into()),
            memory: memory.unwrap_or(256) as usize * 1024 * 1024,
            refresh: refresh.map(|seconds| Duration::from_secs(seconds.into())),
            shadow,
        })
    }

    /// Which batches are kept.
    fn capture(&self) -> Result<Option<Capture>, BadSetting> {
        let to = read(
            &self.capture_to,
            "CAPTURE_TO",
            "a folder, or s3://bucket/prefix",
            origin,
        )?;
        let every = read(
            &self.capture_every,
            "CAPTURE_EVERY",
            "a whole number from 1 to 1000000",
            within(1, 1_000_000),
        )?;
        let names = read(
            &self.capture_names,
            "CAPTURE_NAMES",
            "plain, hashed",
            |text| match text {
                "plain" => Some(Names::Plain),
                "hashed" => Some(Names::Hashed),
                _ => None,
            },
        )?;
        Ok(to.map(|to| Capture {
            to,
            every: every.unwrap_or(100),
            names: names.unwrap_or(Names::Hashed),
        }))
    }

    /// Notes for the operator about settings that are valid but do not do what they seem to.
    pub fn doubts(&self) -> Vec<&'static str> {
        let is_idle = given(&self.capture_to).is_none()
            && (given(&self.capture_every).is_some() || given(&self.capture_names).is_some());
        let doubt = "CAPTURE_EVERY and CAPTURE_NAMES have no effect without CAPTURE_TO";
        is_idle.then_some(doubt).into_iter().collect()
    }
}

/// What a setting says; a blank one says nothing.
fn given(value: &Option<String>) -> Option<&str> {
    let text = value.as_deref()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Reads one setting, where it is given.
fn read<T>(
    value: &Option<String>,
    variable: &'static str,
    allowed: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, BadSetting> {
    let Some(text) = given(value) else {
        return Ok(None);
    };
    let flag = match variable {
        "LOGIC_COMPONENT" => "--component".into(),
        _ => format!("--{}", variable.to_lowercase().replace('_', "-")),
    };
    parse(text).map(Some).ok_or_else(|| BadSetting::NotAllowed {
        variable,
        flag,
        value: shown(text),
        allowed,
    })
}

/// A value as it can be shown to a person: not all of a long one, and nothing that acts on a terminal.
pub(crate) fn shown(value: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown = String::new();
    for c in value.chars().take(LONGEST) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if value.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

fn within(least: u32, most: u32) -> impl Fn(&str) -> Option<u32> {
    move |text| {
        u32::from_str(text)
            .ok()
            .filter(|number| (least..=most).contains(number))
    }
}

const PLACES: &str = "a path, or s3://bucket/key";

/// The place that a text names; none where it begins with `s3://` and no bucket and key follow.
pub fn origin(text: &str) -> Option<Origin> {
    let Some(address) = text.strip_prefix("s3://") else {
        return Some(Origin::File(text.into()));
    };
    let (bucket, key) = address.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then(|| Origin::S3 {
        bucket: bucket.into(),
        key: key.into(),
    })
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn level(text: &str) -> Option<contract::Level> {
    match text.to_lowercase().as_str() {
        "debug" => Some(contract::Level::Debug),
        "info" => Some(contract::Level::Info),
        "warning" | "warn" => Some(contract::Level::Warning),
        "error" => Some(contract::Level::Error),
        _ => None,
    }
}

fn application_level(text: &str) -> Option<ApplicationLevel> {
    match text.to_uppercase().as_str() {
        "TRACE" => Some(ApplicationLevel::Trace),
        "DEBUG" => Some(ApplicationLevel::Debug),
        "INFO" => Some(ApplicationLevel::Info),
        "WARN" => Some(ApplicationLevel::Warn),
        "ERROR" => Some(ApplicationLevel::Error),
        "FATAL" => Some(ApplicationLevel::Fatal),
        _ => None,
    }
}

/// That one of two levels which lets fewer lines through.
fn stricter(one: contract::Level, other: contract::Level) -> contract::Level {
    use contract::Level::{Debug, Error, Info, Warning};
    let mut levels = [Error, Warning, Info].into_iter();
    let strictest = levels.find(|level| one == *level || other == *level);
    strictest.unwrap_or(Debug)
}

/// A bucket's name; that an address was given in its place shows at the slash.
fn bucket(text: &str) -> Option<String> {
    let is_name = text.starts_with("arn:") || !text.contains(['/', ':']);
    let is_one = !text.contains(char::is_whitespace);
    (is_name && is_one).then(|| text.to_owned())
}

/// The windows of a list, each once: a window listed twice would count everything twice.
fn windows(text: &str) -> Option<Vec<contract::Window>> {
    let mut windows = Vec::new();
    for name in text.split(',') {
        let window = match name.trim() {
            "hourly" => contract::Window::Hourly,
            "daily" => contract::Window::Daily,
            "monthly" => contract::Window::Monthly,
            _ => return None,
        };
        if !windows.contains(&window) {
            windows.push(window);
        }
    }
    Some(windows)
}

fn corrections(text: &str) -> Option<contract::Corrections> {
    use contract::Corrections;
    match text {
        "all" => return Some(Corrections::all()),
        "none" => return Some(Corrections::empty()),
        _ => {}
    }
    text.split(',').try_fold(Corrections::empty(), |sum, name| {
        let (_, flag) = contract::CORRECTIONS
            .iter()
            .find(|(known, _)| *known == name.trim())?;
        Some(sum | *flag)
    })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Field = fn(&mut Arguments) -> &mut Option<String>;

    fn with(field: Field, value: &str) -> Result<Settings, BadSetting> {
        let mut arguments = Arguments::default();
        *field(&mut arguments) = Some(value.into());
        arguments.validate()
    }

    #[test]
    fn nothing_set_gives_the_documented_defaults() {
        let settings = Arguments::default().validate().unwrap();
        assert_eq!(settings.table, "rate-limits");
        assert_eq!(
            settings.logic.windows,
            [contract::Window::Hourly, contract::Window::Daily]
        );
        assert_eq!(
            (
                settings.logic.snapshot_ttl_days,
                settings.logic.max_shard_count
            ),
            (90, 32)
        );
        assert_eq!(settings.logic.corrections, contract::Corrections::all());
        assert!(!settings.logic.archive && settings.bucket.is_none());
    }

    #[test]
    fn a_bad_value_names_the_variable_the_value_and_what_is_allowed() {
        let cases: [(Field, &str, &str); 20] = [
            (|a| &mut a.policy, "none", "POLICY"),
            (|a| &mut a.logic_component, "s3://bucket", "LOGIC_COMPONENT"),
            (|a| &mut a.logic_shadow, "s3:///key", "LOGIC_SHADOW"),
            (|a| &mut a.capture_every, "0", "CAPTURE_EVERY"),
            (|a| &mut a.capture_names, "secret", "CAPTURE_NAMES"),
            (
                |a| &mut a.snapshot_windows,
                "hourly,weekly",
                "SNAPSHOT_WINDOWS",
            ),
            (
                |a| &mut a.archive_bucket_name,
                "s3://archive",
                "ARCHIVE_BUCKET_NAME",
            ),
            (
                |a| &mut a.archive_bucket_name,
                "archive/audit",
                "ARCHIVE_BUCKET_NAME",
            ),
            (|a| &mut a.snapshot_ttl_days, "0", "SNAPSHOT_TTL_DAYS"),
            (|a| &mut a.snapshot_ttl_days, "ninety", "SNAPSHOT_TTL_DAYS"),
            (|a| &mut a.enable_archival, "yes", "ENABLE_ARCHIVAL"),
            (|a| &mut a.corrections, "all,none", "CORRECTIONS"),
            (|a| &mut a.burst_ceiling, "1", "BURST_CEILING"),
            (|a| &mut a.max_shard_count, "0", "MAX_SHARD_COUNT"),
            (|a| &mut a.write_concurrency, "-1", "WRITE_CONCURRENCY"),
            (|a| &mut a.log_level, "loud", "LOG_LEVEL"),
            (|a| &mut a.metrics, "statsd", "METRICS"),
            (|a| &mut a.logic_sha256, "abc", "LOGIC_SHA256"),
            (|a| &mut a.logic_timeout_ms, "1", "LOGIC_TIMEOUT_MS"),
            (|a| &mut a.logic_memory_mib, "1e3", "LOGIC_MEMORY_MIB"),
        ];
        for (field, value, variable) in cases {
            let said = with(field, value).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{variable} (--")), "{said}");
            assert!(said.contains(&format!("is `{value}`; allowed: ")), "{said}");
        }
    }

    #[test]
    fn windows_are_trimmed_and_taken_once() {
        let settings = with(|a| &mut a.snapshot_windows, "daily, hourly,daily").unwrap();
        assert_eq!(
            settings.logic.windows,
            [contract::Window::Daily, contract::Window::Hourly]
        );
    }

    #[test]
    fn a_place_is_a_file_or_an_object() {
        let object = Origin::S3 {
            bucket: "logic".into(),
            key: "weir/new.wasm".into(),
        };
        for (text, expected) in [
            ("s3://logic/weir/new.wasm", Some(object)),
            ("new.wasm", Some(Origin::File("new.wasm".into()))),
            (" ", None),
        ] {
            let settings = with(|a| &mut a.logic_shadow, text).unwrap();
            assert_eq!(settings.component.shadow, expected, "{text}");
            assert!(expected.is_none_or(|origin| origin.to_string() == text));
        }
    }

    #[test]
    fn archival_without_a_bucket_is_refused() {
        let mut arguments = Arguments {
            enable_archival: Some("TRUE".into()),
            ..Arguments::default()
        };
        for blank in [None, Some(""), Some(" ")] {
            arguments.archive_bucket_name = blank.map(str::to_owned);
            assert_eq!(arguments.validate().unwrap_err(), BadSetting::NoBucket);
        }
        arguments.archive_bucket_name = Some("archive".into());
        assert!(arguments.validate().unwrap().logic.archive);
    }

    #[test]
    fn names_of_table_and_bucket_are_trimmed() {
        let settings = with(|a| &mut a.table_name, " limits\r\n").unwrap();
        assert_eq!(settings.table, "limits");
        let settings = with(|a| &mut a.archive_bucket_name, "\tarchive ").unwrap();
        assert_eq!(settings.bucket.as_deref(), Some("archive"));
        let point = "arn:aws:s3:us-east-1:123456789012:accesspoint/archive";
        let settings = with(|a| &mut a.archive_bucket_name, point).unwrap();
        assert_eq!(settings.bucket.as_deref(), Some(point));
    }

    #[test]
    fn the_level_is_the_stricter_one_of_the_operators_and_lambdas() {
        use contract::Level::{Debug, Error, Info, Warning};
        for (own, lambda, expected) in [
            (None, None, Info),
            (Some("debug"), None, Debug),
            (None, Some("TRACE"), Debug),
            (None, Some("DEBUG"), Debug),
            (None, Some("WARN"), Warning),
            (None, Some("FATAL"), Error),
            (Some("debug"), Some("INFO"), Info),
            (Some("error"), Some("INFO"), Error),
            (Some("info"), Some("ERROR"), Error),
            (Some("warning"), Some("DEBUG"), Warning),
            (Some("warning"), Some("one of tomorrow"), Warning),
        ] {
            let arguments = Arguments {
                log_level: own.map(str::to_owned),
                aws_lambda_log_level: lambda.map(str::to_owned),
                ..Arguments::default()
            };
            let settings = arguments.validate().unwrap();
            let levels = (settings.log_level, settings.logic.level);
            assert_eq!(levels, (expected, expected), "{own:?} {lambda:?}");
        }
    }

    #[test]
    fn the_format_of_lines_is_lambdas() {
        let format = |format: Option<&str>, level: Option<&str>| {
            let arguments = Arguments {
                aws_lambda_log_format: format.map(str::to_owned),
                aws_lambda_log_level: level.map(str::to_owned),
                ..Arguments::default()
            };
            arguments.log_format()
        };
        for text in [None, Some("Text"), Some(""), Some("one of tomorrow")] {
            assert_eq!(format(text, Some("ERROR")), Format::Text, "{text:?}");
        }
        let json = Some("JSON");
        assert_eq!(format(json, None), Format::Json(ApplicationLevel::Info));
        assert_eq!(
            format(json, Some("FATAL")),
            Format::Json(ApplicationLevel::Fatal)
        );
    }

    #[test]
    fn a_value_is_shown_so_that_it_harms_no_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown(&"ü".repeat(201)), "ü".repeat(200) + "…");
    }

    #[test]
    fn a_blank_value_is_none_for_every_setting() {
        let names: Vec<_> = <Arguments as clap::Args>::augment_args(clap::Command::new("weir"))
            .get_arguments()
            .map(|argument| argument.get_long().unwrap().to_owned())
            .collect();
        assert!(names.len() > 20, "{names:?}");
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            arguments: Arguments,
        }
        let settings = |flags: &[String]| {
            let all = ["weir".to_owned()].into_iter().chain(flags.to_vec());
            let program = <Program as clap::Parser>::try_parse_from(all).unwrap();
            format!("{:?}", program.arguments.validate().unwrap())
        };
        for name in names {
            for blank in ["", " ", "\t\n"] {
                assert_eq!(
                    settings(&[format!("--{name}={blank}")]),
                    settings(&[]),
                    "{name}"
                );
            }
        }
    }
}
