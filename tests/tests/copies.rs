//! How often memory of a batch's size is asked for: not at all for the event, and once for each object that is stored.
//!
//! The allocator of this program counts. A component's own memory does not come from it.

use serde_json::{Value, json};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Mutex;
use weir::{
    batch::Processor,
    location::Location,
    settings::{Capture, Names, Settings},
};
use weir_tests::{
    built,
    record::{self, Generation, Record},
    stage::{self, Stage, consumption},
};

/// The allocator of the system, with a count of what is large.
struct Counting;

/// How often memory of at least [`LARGE`] bytes was asked for.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The least that is counted: more than half of the event, and of the object's content.
const LARGE: usize = 3 << 20;

/// The size of the event's largest part.
const SIZE: usize = 4 << 20;

fn count(size: usize) {
    if size >= LARGE {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: what the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: what the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: what the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: what the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Tests count one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// A change of a bucket with a large attribute that no component reads.
fn large_change() -> Record {
    consumption(1, "ann", 1).with("/dynamodb/NewImage/note", large())
}

/// An audit event with large details, which go into the archive. Packed they are small.
fn large_expiry() -> Record {
    let details = json!({ "M": { "note": large() } });
    let audit = record::audit(Generation::C, "event-2").details(details);
    audit.expire().numbered(2)
}

fn large() -> Value {
    json!({ "S": "x".repeat(SIZE) })
}

/// How often large memory is asked for while a processor of these settings works on a batch, after a small one.
async fn counted(processor: &Processor, records: &[Record]) -> usize {
    let small = record::event(&[consumption(9, "bob", 1)]);
    let processed = processor.process(small, &stage::delivery("small")).await;
    processed.expect("an outcome");
    let event = record::event(records);
    let before = COUNT.load(Ordering::Relaxed);
    let processed = processor.process(event, &stage::delivery("large")).await;
    let count = COUNT.load(Ordering::Relaxed) - before;
    let outcome = processed.expect("an outcome");
    assert!(outcome.response.body.errors.is_empty(), "{outcome:?}");
    count
}

fn processor(stage: &Stage, settings: Settings) -> Processor {
    Processor::new(built::logic(), stage.target(), settings)
}

#[tokio::test]
async fn an_event_is_copied_into_the_components_memory_only() {
    let _turn = TURN.lock().await;
    let stage = Stage::start().await;
    let processor = processor(&stage, stage::settings());
    assert_eq!(counted(&processor, &[large_change()]).await, 0);
    assert_eq!(stage.usage().await["ann"], 1);
}

#[tokio::test]
async fn an_object_is_copied_out_of_the_components_memory_only() {
    let _turn = TURN.lock().await;
    let stage = Stage::start().await;
    let processor = processor(&stage, stage::settings());
    assert_eq!(counted(&processor, &[large_expiry()]).await, 1);
    let objects = stage.objects("audit/").await;
    let sizes: Vec<_> = objects.values().map(|object| object.text.len()).collect();
    assert!(matches!(sizes[..], [size] if size > SIZE), "{sizes:?}");
}

#[tokio::test]
async fn a_second_round_copies_nothing() {
    let _turn = TURN.lock().await;
    let stage = Stage::start().await;
    let processor = processor(&stage, stage::settings());
    let first = processor.process(
        record::event(&[consumption(1, "ann", 1)]),
        &stage::delivery("first"),
    );
    first.await.expect("an outcome");
    // The first record is counted already: its write's condition is false, and the rest is planned again.
    let again = [large_change(), consumption(2, "ann", 2)];
    assert_eq!(counted(&processor, &again).await, 0);
    assert_eq!(stage.usage().await["ann"], 3);
    assert!(processor.totals().conflicts > 0);
}

#[tokio::test]
async fn a_shadow_shares_the_event_and_a_sample_is_one_copy() {
    let _turn = TURN.lock().await;
    let (stage, folder) = (Stage::start().await, tempfile::tempdir().expect("a folder"));
    let shadowed = processor(&stage, stage::settings()).with_shadow(built::logic());
    assert_eq!(counted(&shadowed, &[large_change()]).await, 0);
    let mut settings = stage::settings();
    settings.capture = Some(Capture {
        to: Location::File(folder.path().into()),
        every: 1,
        names: Names::Plain,
    });
    let sampled = processor(&stage, settings);
    assert_eq!(counted(&sampled, &[large_change()]).await, 1);
}
