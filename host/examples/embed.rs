//! The aggregator in a service of your own: it prints what the component plans for an event, then applies the event.
//!
//!     cargo run -p weir --example embed -- target/component/weir_logic.wasm event.json rate-limits
//!
//! Region, credentials and endpoints come from the environment, as for every client of AWS.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write},
    time::{Duration, SystemTime},
};
use weir::{
    batch::{Delivery, Processor},
    contract::Batch,
    limiter::policy,
    location::Location,
    settings::{Component, Settings},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [component, event, table] = arguments.as_slice() else {
        return Err("give the component's file, the event's file and the table's name".into());
    };
    let mut out = io::stdout();

    // Once, when the service starts: compiling takes a while. Share the processor; all its state is that of its clients.
    let settings = Settings {
        table: table.clone(),
        component: Component {
            location: Location::File(component.into()),
            ..Component::default()
        },
        ..Settings::default()
    };
    let asked = settings.logic.clone();
    let processor = Processor::open(settings).await?;

    // For each batch. A plan is a value: it can be made without being carried out.
    let event = fs::read(event)?;
    let now = u64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_millis())?;
    let batch = Batch {
        event: event.clone(),
        now,
        request_id: "the name of this delivery".into(),
        known: Vec::new(),
    };
    let logic = processor.logic();
    let resolved = logic.resolve(&asked)?;
    let plan = logic.plan(&batch, &resolved.settings, logic.limits().timeout)?;
    policy::check(&plan, &policy::Context::of(&batch, &resolved))?;
    writeln!(out, "{}", serde_json::to_string(&plan)?)?;

    // The same batch, planned, checked and carried out. Failed records are named in the outcome, to be delivered again.
    let delivery = Delivery {
        request_id: batch.request_id,
        function_name: "embedded".into(),
        now,
        deadline: tokio::time::Instant::now() + Duration::from_secs(60),
    };
    let outcome = processor.process(event, &delivery).await?;
    writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
    Ok(())
}
