//! Whatever plans: the library, components, and the Python aggregator.

use crate::{
    event::Event,
    sample::{self, Sample},
};
use std::{
    env, fs,
    hint::black_box,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};
use weir::{
    component::{
        Limits, Logic, LogicError, Preparation,
        artifact::{self, Target},
        precompile,
    },
    contract::{Batch, Settings},
};
use weir_tests::{built, runner};

const LIMITS: Limits = Limits {
    memory: 256 << 20,
    timeout: Duration::from_secs(30),
};

/// Something that plans.
pub trait Subject {
    /// For the report.
    fn name(&self) -> &str;

    /// Makes this the event that is planned, and says how many writes its plan has.
    fn prepare(&mut self, event: &Event) -> usize;

    /// Plans the event so many times.
    fn sample(&mut self, times: u32) -> Sample;

    /// The least memory in which an instance makes the plan, in bytes. `None`: it has no limit.
    fn least_memory(&mut self) -> Option<usize>;
}

/// All that are measured: the Python last.
pub fn all(others: &[PathBuf], python: &Path, folder: &Path) -> Vec<Box<dyn Subject>> {
    let built = built::component("weir_logic");
    let mut subjects: Vec<Box<dyn Subject>> = vec![
        Box::new(Native::default()),
        Box::new(Component::compiled("component", &built, folder)),
        Box::new(Component::precompiled(&built, folder)),
    ];
    for other in others {
        let name = other.file_stem().unwrap_or_default();
        let component = Component::compiled(&name.to_string_lossy(), other, folder);
        subjects.push(Box::new(component));
    }
    subjects.push(Box::new(Python::start(python)));
    subjects
}

/// The logic as a library of this program.
#[derive(Default)]
struct Native {
    planned: Option<(weir_logic::Batch, weir_logic::Settings)>,
}

impl Subject for Native {
    fn name(&self) -> &str {
        "native"
    }

    fn prepare(&mut self, event: &Event) -> usize {
        let settings = runner::native_settings(&runner::told(&runner::settings()));
        let batch = runner::native_batch(&event.batch);
        let plan = weir_logic::plan(&batch, &settings).expect("it is planned");
        self.planned = Some((batch, settings));
        plan.writes.len()
    }

    fn sample(&mut self, times: u32) -> Sample {
        let (batch, settings) = self.planned.as_ref().expect("it is prepared");
        sample::taken(times, || {
            black_box(weir_logic::plan(black_box(batch), settings).is_ok());
        })
    }

    fn least_memory(&mut self) -> Option<usize> {
        None
    }
}

/// The logic in its sandbox.
struct Component {
    name: String,
    /// A copy of it, with an artifact beside it.
    copy: PathBuf,
    logic: Logic,
    settings: Settings,
    batch: Option<Batch>,
}

impl Component {
    /// Compiled for this machine's processor.
    fn compiled(name: &str, file: &Path, folder: &Path) -> Self {
        let bytes = fs::read(file).expect("the component can be read");
        let logic = Logic::from_bytes(name, &bytes, LIMITS).expect("it loads");
        Self::new(name.into(), copied(name, &bytes, folder), logic)
    }

    /// Precompiled as in the package, for every processor of the architecture.
    fn precompiled(file: &Path, folder: &Path) -> Self {
        let bytes = fs::read(file).expect("the component can be read");
        let copy = copied("precompiled", &bytes, folder);
        let logic = Logic::load(&copy, None, LIMITS).expect("it loads");
        assert!(
            matches!(logic.preparation(), Preparation::Precompiled),
            "the artifact is used"
        );
        Self::new(
            format!("component for any {}", env::consts::ARCH),
            copy,
            logic,
        )
    }

    fn new(name: String, copy: PathBuf, logic: Logic) -> Self {
        Self {
            name,
            copy,
            logic,
            settings: runner::told(&runner::settings()),
            batch: None,
        }
    }

    fn batch(&self) -> &Batch {
        self.batch.as_ref().expect("it is prepared")
    }

    /// Whether an instance with so much memory can make the plan.
    fn fits(&self, memory: usize) -> bool {
        let limits = Limits { memory, ..LIMITS };
        // Less than it has at its start.
        let Ok(logic) = Logic::load(&self.copy, None, limits) else {
            return false;
        };
        let planned = logic.plan(self.batch(), &self.settings, limits.timeout);
        match planned {
            Ok(_) => true,
            Err(LogicError::OutOfMemory { .. }) => false,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }
}

impl Subject for Component {
    fn name(&self) -> &str {
        &self.name
    }

    fn prepare(&mut self, event: &Event) -> usize {
        self.batch = Some(event.batch.clone());
        let plan = self
            .logic
            .plan(&event.batch, &self.settings, LIMITS.timeout);
        let native = runner::native_settings(&self.settings);
        let expected = weir_logic::plan(&runner::native_batch(&event.batch), &native);
        let plan = plan.expect("it is planned");
        assert_eq!(
            serde_json::to_value(&plan).expect("a plan is JSON"),
            serde_json::to_value(expected.expect("it is planned")).expect("a plan is JSON"),
            "{} plans as the library does",
            self.name
        );
        plan.writes.len()
    }

    fn sample(&mut self, times: u32) -> Sample {
        sample::taken(times, || {
            let plan = self
                .logic
                .plan(black_box(self.batch()), &self.settings, LIMITS.timeout);
            black_box(plan.is_ok());
        })
    }

    /// To a sixteenth.
    fn least_memory(&mut self) -> Option<usize> {
        let (mut too_small, mut enough) = (0, LIMITS.memory);
        while enough - too_small > (enough >> 4).max(64 << 10) {
            let middle = (too_small + enough) / 2;
            if self.fits(middle) {
                enough = middle;
            } else {
                too_small = middle;
            }
        }
        Some(enough)
    }
}

/// Copies a component into a folder, with its artifact.
fn copied(name: &str, bytes: &[u8], folder: &Path) -> PathBuf {
    let copy = folder.join(format!("{name}.wasm"));
    let target = Target::native().expect("artifacts are made for such machines");
    let code = precompile(name, bytes, target).expect("it compiles");
    fs::write(&copy, bytes).expect("the component can be copied");
    fs::write(artifact::beside(&copy), code).expect("the artifact can be written");
    copy
}

/// The Python aggregator, in a process of its own, with a table that answers at once.
struct Python {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    file: PathBuf,
}

impl Python {
    fn start(python: &Path) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/plan/python_plan.py");
        let process = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = process.unwrap_or_else(|error| {
            panic!(
                "{} does not start: {error}; `make bench` installs it",
                python.display()
            )
        });
        let (requests, answers) = (process.stdin.take(), process.stdout.take());
        Self {
            process,
            requests: requests.expect("a pipe"),
            answers: BufReader::new(answers.expect("a pipe")),
            file: PathBuf::new(),
        }
    }

    /// Asks for so many plans. The first request for a file is answered by the number of writes.
    fn ask(&mut self, times: u32) -> Vec<u64> {
        writeln!(self.requests, "{times} {}", self.file.display()).expect("it listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let numbers = line.split_whitespace().map(|number| number.parse::<u64>());
        numbers.map(|number| number.expect("a number")).collect()
    }
}

impl Subject for Python {
    fn name(&self) -> &str {
        "Python 0.10.3"
    }

    fn prepare(&mut self, event: &Event) -> usize {
        self.file.clone_from(&event.file);
        match self.ask(1)[..] {
            [writes] => writes as usize,
            ref other => panic!("the Python aggregator failed: {other:?}"),
        }
    }

    fn sample(&mut self, times: u32) -> Sample {
        match self.ask(times)[..] {
            [wall, processor] => Sample {
                wall: Duration::from_nanos(wall),
                processor: Duration::from_nanos(processor),
            },
            ref other => panic!("the Python aggregator failed: {other:?}"),
        }
    }

    fn least_memory(&mut self) -> Option<usize> {
        None
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
