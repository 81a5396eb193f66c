//! What generation D adds to a bucket and its limits: schedules, windows, quotas.

use crate::{
    decimal::{EpochMs, MilliTokens, NotAnInteger, integer},
    schedule::{self, Decoded, Decoder, Resets, Schedule},
    schema::{
        bucket::NO_SCHEDULE,
        image::{Image, Limit, Timed},
    },
};
use alloc::{
    format,
    rc::Rc,
    string::{String, ToString},
};

/// The zone of schedules on an item that names none.
const DEFAULT_ZONE: &str = "UTC";

/// Most characters of a log line's reason: a schedule may be as long as an item.
const MAX_REASON_CHARS: usize = 512;

/// Milliseconds of a second.
const SECOND: i128 = 1000;

/// What an item says of all its limits.
#[derive(Clone, Debug, Default)]
pub struct BucketTerms<'a> {
    /// Until when clients may go by it (`vu`).
    pub valid_until: Option<EpochMs>,
    /// The text of its schedule of parameters.
    pub schedule_text: Option<&'a str>,
    /// Its schedules.
    pub times: Times,
    /// Why one of its schedules, or of its limits', cannot be read.
    pub undecodable: Option<String>,
}

/// When what a limit is filled by changes. One that cannot be read is none.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// When its parameters change.
    pub schedule: Option<Rc<Schedule>>,
    /// When it is restored.
    pub resets: Option<Rc<Resets>>,
}

/// What generation D says of one limit.
#[derive(Clone, Debug, Default)]
pub struct LimitTerms {
    /// Its schedules, its own or the item's.
    pub times: Times,
    /// Its window, where it has a length.
    pub window: Option<Window>,
    /// For how many shards its grant was sized (`gc`).
    pub grant_count: Option<i128>,
    /// Tokens bought on top of the grant (`tu`).
    pub top_up: Option<MilliTokens>,
}

/// A window of a certain length, which opens with the first request after the last one has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the current one began (`ws`); none where none was opened yet.
    pub start: Option<EpochMs>,
    /// Its length in milliseconds (`rsa`).
    pub length: i128,
    /// The start of the window that the tokens reflect (`wa`); where it is not told, `rf` says.
    pub applied: Option<EpochMs>,
    /// The limit's counter when the window was announced to this shard (`wtc`).
    pub mark: Option<MilliTokens>,
}

impl<'a> BucketTerms<'a> {
    /// Reads what an image says of all limits.
    ///
    /// # Errors
    /// A number that is no integer.
    pub fn read(image: &'a Image<'_>, decoder: &mut Decoder<'a>) -> Result<Self, String> {
        let (schedule, resets) = (image.schedule.as_deref(), image.resets.as_deref());
        let mut terms = Self {
            valid_until: number(image.valid_until.as_deref())?.map(EpochMs),
            schedule_text: schedule,
            ..Self::default()
        };
        let zone = zone(image);
        if let Some(text) = given(schedule) {
            terms.times.schedule = terms.keep("item", text, zone, decoder.schedule(text, zone));
        }
        if let Some(text) = given(resets) {
            let first = terms.undecodable.take();
            terms.times.resets = terms.keep("item reset", text, zone, decoder.resets(text, zone));
            terms.undecodable = first.or(terms.undecodable);
        }
        Ok(terms)
    }

    /// Reads what an image says of one of its limits; none where that is nothing.
    ///
    /// # Errors
    /// A number that is no integer.
    pub fn read_limit(
        &mut self,
        name: &str,
        limit: &'a Limit<'_>,
        image: &'a Image<'_>,
        decoder: &mut Decoder<'a>,
    ) -> Result<Option<Rc<LimitTerms>>, String> {
        let timed = limit.timed.as_deref();
        let mut terms = match timed {
            Some(timed) => LimitTerms::read(timed)?,
            None => LimitTerms::default(),
        };
        let zone = zone(image);
        let own = |text: fn(&'a Timed<'_>) -> Option<&'a str>| given(timed.and_then(text));
        terms.times.schedule = match own(|timed| timed.schedule.as_deref()) {
            Some(NO_SCHEDULE) => None,
            Some(text) if image.schedule.as_deref() != Some(text) => {
                self.keep(name, text, zone, decoder.schedule(text, zone))
            }
            _ => self.times.schedule.clone(),
        };
        terms.times.resets = match own(|timed| timed.resets.as_deref()) {
            Some(NO_SCHEDULE) => None,
            Some(text) if image.resets.as_deref() != Some(text) => self.keep(
                &format!("{name} reset"),
                text,
                zone,
                decoder.resets(text, zone),
            ),
            _ => self.times.resets.clone(),
        };
        let is_empty = timed.is_none() && terms.times.is_empty();
        Ok((!is_empty).then(|| Rc::new(terms)))
    }

    /// What a text says; notes why it cannot be read.
    fn keep<T>(
        &mut self,
        whose: &str,
        text: &str,
        zone: &str,
        decoded: Decoded<T>,
    ) -> Option<Rc<T>> {
        decoded
            .map_err(|problem| {
                let reason = format!("{whose} schedule '{text}' ({zone}): {problem}");
                self.undecodable = Some(reason.chars().take(MAX_REASON_CHARS).collect());
            })
            .ok()
    }
}

impl Times {
    /// Whether nothing changes, ever.
    pub fn is_empty(&self) -> bool {
        self.schedule.is_none() && self.resets.is_none()
    }

    /// The last reset up to `now`, where there is one.
    pub fn last_reset(&self, now: EpochMs) -> Option<EpochMs> {
        self.resets.as_ref()?.last_edge(now)
    }

    /// Until when what is known at `now` holds; none where nothing changes.
    pub fn boundary(&self, now: EpochMs) -> Option<EpochMs> {
        schedule::boundary(self.schedule.as_deref(), self.resets.as_deref(), now)
    }

    /// Whether both are the very same schedules.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        fn is_same<T>(one: &Option<Rc<T>>, other: &Option<Rc<T>>) -> bool {
            one.as_ref().map(Rc::as_ptr) == other.as_ref().map(Rc::as_ptr)
        }
        is_same(&self.schedule, &other.schedule) && is_same(&self.resets, &other.resets)
    }
}

impl LimitTerms {
    fn read(timed: &Timed<'_>) -> Result<Self, String> {
        let window = number(timed.window_length.as_deref())?;
        let start = number(timed.window_start.as_deref())?.map(EpochMs);
        let applied = number(timed.window_applied.as_deref())?.map(EpochMs);
        let mark = number(timed.window_mark.as_deref())?.map(MilliTokens);
        Ok(Self {
            times: Times::default(),
            window: window.map(|seconds| Window {
                start,
                length: seconds.saturating_mul(SECOND),
                applied,
                mark,
            }),
            grant_count: number(timed.grant_count.as_deref())?,
            top_up: number(timed.top_up.as_deref())?.map(MilliTokens),
        })
    }

    /// The window that restores the limit: a schedule of resets goes before it.
    pub fn window_in_force(&self) -> Option<&Window> {
        self.window.as_ref().filter(|_| self.times.resets.is_none())
    }

    /// Whether the limit is restored at certain times, in one lump.
    pub fn is_granted(&self) -> bool {
        self.window.is_some() || self.times.resets.is_some()
    }
}

impl Window {
    /// Where the current one is not reflected by the tokens of a bucket last refilled at `last_refill`: its start.
    pub fn unapplied(&self, last_refill: EpochMs) -> Option<EpochMs> {
        self.start
            .filter(|start| *start > self.applied.unwrap_or(last_refill))
    }

    /// When the current one ends.
    pub fn end(&self) -> Option<EpochMs> {
        let end = |start: EpochMs| EpochMs(start.0.saturating_add(self.length));
        self.start.map(end)
    }
}

fn zone<'i>(image: &'i Image<'_>) -> &'i str {
    image.zone.as_deref().unwrap_or(DEFAULT_ZONE)
}

/// A text that is not empty.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn number(text: Option<&str>) -> Result<Option<i128>, String> {
    let problem = |problem: NotAnInteger<'_>| problem.to_string();
    text.map(integer).transpose().map_err(problem)
}
