//! The component in a service of your own: it reads an event, and says what it would have you write.
//!
//!     cargo run -p weir --example embed -- target/component/weir_logic.wasm event.json
//!
//! Nothing is read or written but the two files. To have the writes made as well, in DynamoDB and S3, give the `Logic`
//! to `weir::batch::Processor`.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime},
};
use weir::{
    component::{Limits, Logic},
    contract::Batch,
    limiter::policy,
    replay,
    settings::Settings,
};

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = env::args().skip(1).collect();
    let [component, event] = files.as_slice() else {
        return Err("give the component's file and the event's file".into());
    };

    // Once, when the service starts: compiling takes a while. Many threads may plan with one `Logic`.
    let limits = Limits {
        memory: 256 << 20,
        timeout: Duration::from_secs(5),
    };
    let logic = Logic::load(Path::new(component), None, limits)?;
    // All defaults. A service sets here what it wants, and reads no environment.
    let settings = logic.resolve(&Settings::default().logic)?;

    // For each batch.
    let now = SystemTime::UNIX_EPOCH.elapsed()?;
    let batch = Batch {
        event: fs::read(event)?,
        now: u64::try_from(now.as_millis())?,
        request_id: "the name of this delivery".into(),
        known: Vec::new(),
    };
    let plan = logic.plan(&batch, &settings.settings, limits.timeout)?;
    policy::check(&plan, &policy::Context::of(&batch, &settings))?;

    let mut out = io::stdout();
    for write in &plan.writes {
        writeln!(out, "{} {}", write.purpose, write.operation.target())?;
    }
    writeln!(out)?;
    replay::print(&plan, &mut out)?;
    Ok(())
}
